"""Clients that mean harm, or do it: slow, silent, greedy, and with headers of a mebibyte."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from tests.http2 import ENCODE, WINDOW_UPDATE, Link, message
from tests.serving import Server, serving, within
from textvae.serve.lost_clients import GRPC_LOG, LostClients
from textvae.v1 import model_pb2
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

MIB = 1024 * 1024
TEXTS = "/textvae.v1.TextVaeService/"
SMALL = pb.EncodeRequest(sentences=["the cat sees the dog"])
WIDE = pb.EncodeRequest(sentences=["a cat"] * 64, sample_count=128)
"""Its response is far larger than any buffer on the way."""
INVALID, DEADLINE, EXHAUSTED = 3, 4, 8
READ_S, SEND_S = 1, 2


@pytest.fixture(scope="module")
def server(registry: Path) -> Iterator[Server]:
    """A server that waits less long for its clients, and has little room."""
    flags = ("--read-s", str(READ_S), "--send-s", str(SEND_S), "--bytes-max", str(64 * MIB))
    with serving(registry, *flags) as server:
        yield server


@pytest.fixture(autouse=True)
def server_goes_on(server: Server) -> Iterator[None]:
    """After every harm it answers at once, and has printed no traceback."""
    yield
    with grpc.insecure_channel(server.address) as channel:
        assert len(TextVaeServiceStub(channel).Encode(SMALL, timeout=5).mean.values)
    assert "Traceback" not in server.log_text()


def memory_mib(server: Server) -> float:
    """The resident memory of a server."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


@contextmanager
def worst_health(server: Server) -> Iterator[list[float]]:
    """The longest that a health check took in the meantime, in seconds, as a list of one."""
    worst, ended = [0.0], threading.Event()

    def probe() -> None:
        with grpc.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while not ended.is_set():
                began_s = time.monotonic()
                health.Check(health_pb2.HealthCheckRequest(), timeout=30)
                worst[0] = max(worst[0], time.monotonic() - began_s)
                ended.wait(0.005)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield worst
    finally:
        ended.set()
        thread.join()


def answer(server: Server, path: str, raw: bytes, *, gzip: bool = False) -> tuple[int, str]:
    """The code and the message of a call."""
    packing = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(path).future(raw, timeout=20, compression=packing)
        error = call.exception()
        return (int(error.code().value[0]), str(error.details())) if error else (0, "")


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("method", "one", "words"),
    [
        ("Interpolate", b"\x0a\x00", "points: must be at most 64, got more than 128; "),
        ("Encode", b"\x0a\x00", "sentences: must be at most 1024, got more than 2048; "),
        ("Encode", b"\x20\x01", "request: must have at most "),
        ("Decode", b"\x0a\x06\x0a\x04abcd", "request: must have at most "),
        ("Paraphrase", b"\x7a\x02\x3a\x00", "constraints.banned: must be at most 100, "),
    ],
)
def test_millions_of_elements_are_refused_by_their_field_while_others_are_served(
    method: str, one: bytes, words: str, gzip: bool, server: Server
) -> None:
    raw = one * ((8 * MIB - 64) // len(one))
    before_mib = memory_mib(server)
    with worst_health(server) as worst:
        began_s = time.monotonic()
        code, text = answer(server, TEXTS + method, raw, gzip=gzip)
        took_s = time.monotonic() - began_s
    assert (code, text.startswith(words)) == (INVALID, True), text
    assert took_s < 2
    assert worst[0] < 0.5
    assert memory_mib(server) - before_mib < 64


def test_a_method_without_lists_takes_no_large_message(server: Server) -> None:
    words = "request: must have at most 65536 bytes, got 65537; this method takes no lists"
    for path in ("/textvae.v1.ModelService/GetServerInfo", "/grpc.health.v1.Health/Check"):
        assert answer(server, path, b"\x10\x01" + b"\x9a\x06\xfc\xff\x03" + bytes(65530)) == (
            INVALID,
            words,
        )


def test_a_message_that_unpacks_to_more_than_the_limit_is_refused(server: Server) -> None:
    code, text = answer(server, ENCODE, bytes(64 * MIB), gzip=True)
    assert (code, text) == (EXHAUSTED, "Decompressed message larger than max")


def test_headers_of_a_mebibyte_are_refused_in_however_many_frames(server: Server) -> None:
    raw = message(SMALL.SerializeToString())
    for headers in ([("x", "a" * MIB)], [(f"x{number}", "a" * 1000) for number in range(1000)]):
        with Link(server.address) as link:
            stream = link.begin(ENCODE, *headers)
            link.send(stream, raw)
            code, text = link.status(stream)
        assert code == INVALID
        assert text.startswith("metadata: must have at most 16384 bytes, got ")
    with Link(server.address) as link:
        stream = link.begin(ENCODE, ("x", "a" * 10_000))
        link.send(stream, raw)
        assert link.status(stream) == (0, "")


def test_a_call_without_a_message_is_ended_in_words(server: Server) -> None:
    with Link(server.address) as link:
        silent, ended = link.begin(), link.begin()
        link.send(ended, b"")
        assert link.status(ended) == (INVALID, "request: there is no message; send one")
        words = f"request: the message did not come within {READ_S} s; send it faster"
        assert link.status(silent) == (DEADLINE, words)


def test_watches_and_reflection_without_a_message_are_ended_too(server: Server) -> None:
    for path in (
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ):
        with Link(server.address) as link:
            assert link.status(link.begin(path))[0] == DEADLINE


def test_messages_that_stop_half_way_hold_little_and_end_while_others_are_served(
    server: Server,
) -> None:
    before_mib, links = memory_mib(server), [Link(server.address) for _ in range(40)]
    streams = [link.begin() for link in links]
    for link, stream in zip(links, streams, strict=True):
        link.send(stream, message(bytes(60_000), announced=8 * MIB), end=False)
    with worst_health(server) as worst:
        assert answer(server, ENCODE, SMALL.SerializeToString()) == (0, "")
        ends = {link.status(stream)[0] for link, stream in zip(links, streams, strict=True)}
    assert ends <= {DEADLINE, EXHAUSTED}
    assert worst[0] < 0.5
    assert memory_mib(server) - before_mib < 100
    for link in links:
        link.close()


def test_clients_that_never_read_hold_a_bounded_room_and_are_dropped(server: Server) -> None:
    raw, before_mib = message(WIDE.SerializeToString()), memory_mib(server)
    links = [Link(server.address, window=0) for _ in range(60)]
    for link in links:
        link.send(link.begin(), raw)
    time.sleep(SEND_S / 2)
    assert answer(server, ENCODE, SMALL.SerializeToString()) == (0, "")
    assert memory_mib(server) - before_mib < 160
    within(SEND_S + 10, lambda: "the response was not taken within 2 s" in server.log_text())
    for link in links:
        assert {one.kind for one in link.frames(0.05)} <= {1, 3, 4, WINDOW_UPDATE, 6}
        link.close()


def test_clients_that_reset_their_calls_leave_a_line_and_no_traceback(server: Server) -> None:
    raw = message(WIDE.SerializeToString())
    for _ in range(4):
        links = [Link(server.address, window=0) for _ in range(5)]
        for link in links:
            for _ in range(60):
                stream = link.begin()
                link.send(stream, raw)
                link.reset(stream)
        for link in links:
            link.close()


def test_a_lost_client_is_a_line_and_a_flood_of_them_another() -> None:
    lost = LostClients()

    def record(words: str) -> logging.LogRecord:
        return logging.LogRecord(GRPC_LOG, 40, "", 1, words, (), (ValueError, ValueError(), None))

    gone = "ExecuteBatchError raised in core by servicer method [/a/B]"
    first = record(gone)
    assert lost.filter(first)
    assert first.getMessage() == "the client of /a/B was gone before its response"
    assert (first.levelname, first.exc_info) == ("INFO", None)
    assert not lost.filter(record(gone))
    other = record("Unexpected [ValueError] raised by servicer method [/a/B]")
    assert lost.filter(other)
    assert (other.levelno, other.exc_info is None) == (40, False)


def test_room_that_is_gone_is_a_quota_with_a_time_to_come_back(server: Server) -> None:
    links = [Link(server.address) for _ in range(8)]
    streams = [link.begin() for link in links]
    for link, stream in zip(links, streams, strict=True):
        link.send(stream, message(b"", announced=8 * MIB), end=False)
    time.sleep(0.3)
    refused = [
        link.status(stream, 0.05)
        for link, stream in zip(links, streams, strict=True)
    ]  # fmt: skip
    busy = [text for code, text in refused if code == EXHAUSTED]
    assert busy
    words = "server: 4 messages are coming in and this one is slow; call again or send less"
    assert set(busy) == {words}
    for link in links:
        link.close()


def test_what_a_caller_sent_is_quoted_in_part_and_the_status_arrives(server: Server) -> None:
    latents = pb.Latents(values=[0.0], columns=1, version="\u00e9" * 8000)
    calls = (
        (f"{TEXTS}Encode", pb.EncodeRequest(sentences=["a"], version="v" * 8000), 9),
        (f"{TEXTS}Decode", pb.DecodeRequest(latents=latents), 9),
        ("/textvae.v1.ModelService/GetModel", model_pb2.GetModelRequest(name="n" * 60_000), 3),
        (
            "/textvae.v1.ModelService/GetModel",
            model_pb2.GetModelRequest(name=f"models/m/versions/{'v' * 8000}"),
            5,
        ),
    )
    for path, request, code in calls:
        got, text = answer(server, path, request.SerializeToString())
        assert (got, "characters more)" in text) == (code, True), text[:200]
        assert len(text) < 400


def test_a_status_has_room_for_any_message() -> None:
    from textvae.errors import BusyError, InputError
    from textvae.serve.status import status_of

    for error in (
        InputError("f" * 9000, "p" * 9000),
        BusyError("\u6f22" * 9000, quota="bytes"),
        InputError("sentences[0]", "\ud800" * 9000),
    ):
        status = status_of(error)
        assert len(status.message.encode()) < 1100
        assert status.ByteSize() < 3 * 1100
        assert status.message.endswith("characters more)")
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert rpc_status.to_status(status).details == status.message
