"""A client of HTTP/2 that does what no client of grpc would: for tests and drills of the server."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME_BYTES_MAX = 16_384
CANCEL = 8
ENCODE = "/textvae.v1.TextVaeService/Encode"


class Frame(NamedTuple):
    """A frame as the server sent it."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    head = len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
    return head + payload


def message(raw: bytes, *, compressed: bool = False, announced: int | None = None) -> bytes:
    """A message with its length before it, or with another length than it has."""
    size = len(raw) if announced is None else announced
    return bytes([compressed]) + size.to_bytes(4) + raw


def literals(*headers: tuple[str, str]) -> bytes:
    """Headers in HPACK, each spelled out and none of them remembered."""
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in headers)


def _string(text: str) -> bytes:
    """A string in HPACK: a length in a prefix of 7 bits, and the bytes."""
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, more = len(raw) - 127, b""
    while rest > 0x7F:
        more += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return b"\x7f" + more + bytes([rest]) + raw


class Link:
    """A connection whose frames are the caller's own."""

    def __init__(self, address: str, *, window: int = 65_535) -> None:
        """`window`: the bytes of each response that the server may send before it is asked on."""
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        # No table of headers, so that what comes is spelled out; and the window of a stream.
        settings = b"\0\x01\0\0\0\0" + b"\0\x04" + window.to_bytes(4)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        self._stream = 1
        self._received = b""

    def begin(
        self, path: str = ENCODE, *extra: tuple[str, str], content_type: str = "application/grpc"
    ) -> int:
        """Send the headers of a call; return its stream."""
        stream, self._stream = self._stream, self._stream + 2
        block = literals(
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"),
            ("te", "trailers"), ("content-type", content_type), *extra,
        )  # fmt: skip
        pieces = [block[at : at + FRAME_BYTES_MAX] for at in range(0, len(block), FRAME_BYTES_MAX)]
        for number, piece in enumerate(pieces):
            last = END_HEADERS if number == len(pieces) - 1 else 0
            self.socket.sendall(frame(CONTINUATION if number else HEADERS, last, stream, piece))
        return stream

    def send(self, stream: int, raw: bytes, *, end: bool = True) -> None:
        """Send bytes of a call, at most what the first window has room for."""
        for at in range(0, len(raw) or 1, FRAME_BYTES_MAX):
            last = END_STREAM if end and at + FRAME_BYTES_MAX >= len(raw) else 0
            self.socket.sendall(frame(DATA, last, stream, raw[at : at + FRAME_BYTES_MAX]))

    def reset(self, stream: int) -> None:
        """Cancel a call."""
        self.socket.sendall(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4)))

    def frames(self, timeout_s: float = 5.0) -> Iterator[Frame]:
        """The frames that come within `timeout_s`, or until the server closes."""
        end_s = time.monotonic() + timeout_s
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while True:
                while len(self._received) < 9 or len(self._received) < 9 + self._size():
                    self.socket.settimeout(max(end_s - time.monotonic(), 0.001))
                    data = self.socket.recv(1 << 20)
                    if not data:
                        return
                    self._received += data
                size, head = self._size(), self._received[:9]
                payload, self._received = self._received[9 : 9 + size], self._received[9 + size :]
                if head[3] == SETTINGS and not head[4] & ACK:
                    self.socket.sendall(frame(SETTINGS, ACK, 0))
                if head[3] == PING and not head[4] & ACK:
                    self.socket.sendall(frame(PING, ACK, 0, payload))
                yield Frame(head[3], head[4], int.from_bytes(head[5:]), payload)

    def status(self, stream: int, timeout_s: float = 20.0) -> tuple[int, str]:
        """The status of a call and its message; -1 for a reset, -2 where the connection ends."""
        for one in self.frames(timeout_s):
            if one.kind == GOAWAY:
                return -2, one.payload[8:].decode()
            if one.stream == stream and one.kind == RST_STREAM:
                return -1, f"reset {int.from_bytes(one.payload)}"
            if one.stream == stream and one.kind == HEADERS and one.flags & END_STREAM:
                code = re.search(rb"grpc-status[\x01\x02](\d+)", one.payload)
                words = re.search(rb"grpc-message.([ -~]*)", one.payload)
                http = re.search(rb":status.(\d+)", one.payload)
                if code is None:
                    return -3, f"http {http[1].decode() if http else one.payload!r}"
                return int(code[1]), words[1].decode() if words else ""
        return -2, "nothing came"

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _size(self) -> int:
        """The length of the payload of the frame that has begun."""
        return int.from_bytes(self._received[:3])
