"""The bytes that all calls hold together: bounded, and whoever stalls makes room for others.

A message that comes at once is counted when it has come. One that is slow may be as large as the
largest, and all slow ones together have one half of the bytes; messages that were read and not yet
answered, and responses that were not yet taken, have the other.
"""

import time

from textvae.errors import BusyError
from textvae.serve.in_hand import Call
from textvae.serve.status import TooSlowError

STALL_S = 1.0
"""A call that has waited this long for its client is ended where others need its room."""


class Quota:
    """What calls hold of a number of bytes."""

    def __init__(self, bytes_max: int, message_bytes_max: int) -> None:
        self._half = bytes_max // 2
        self._slow_max = max(self._half // message_bytes_max, 1)
        # Both by the call, longest first, with the time since when.
        self._slow: dict[Call, float] = {}
        self._sending: dict[Call, float] = {}
        self.bytes = 0
        """Of messages and responses in hand."""

    def add_slow(self, call: Call) -> None:
        """Count a call whose message is slow; end it, or another, where there are too many."""
        if len(self._slow) >= self._slow_max and not self._end_stalled(self._slow):
            problem = f"{self._slow_max} messages are coming in and this one is slow"
            call.end(self._busy(problem))
        else:
            self._slow[call] = time.monotonic()

    def add_message(self, call: Call, size: int) -> None:
        """Hold `size` bytes for a message that has come; raise BusyError where there is no room."""
        self._slow.pop(call, None)
        self._hold(call, size)

    def add_response(self, call: Call, size: int) -> None:
        """Hold `size` bytes for a response instead; raise BusyError where there is no room."""
        self._hold(call, size)
        self._sending[call] = time.monotonic()

    def release(self, call: Call) -> None:
        """Hold nothing for a call that is over."""
        self._slow.pop(call, None)
        self._sending.pop(call, None)
        self.bytes -= call.bytes
        call.bytes = 0

    def _hold(self, call: Call, size: int) -> None:
        """Hold `size` bytes for a call instead of what it holds; raise BusyError without room."""
        while (total := self.bytes - call.bytes + size) > self._half:
            if not self._end_stalled(self._sending):
                raise self._busy(f"{self.bytes} of {self._half} bytes of messages are in hand")
        self.bytes, call.bytes = total, size

    def _end_stalled(self, calls: dict[Call, float]) -> bool:
        """End the call that has waited longest for its client; return False if that is not long."""
        call, since_s = next(iter(calls.items()), (None, 0.0))
        if call is None or time.monotonic() - since_s < STALL_S:
            return False
        call.end(TooSlowError("call: others need its room; send and read faster"))
        self.release(call)
        return True

    def _busy(self, problem: str) -> BusyError:
        """Return the refusal of a call that has no room."""
        text = f"server: {problem}; call again or send less"
        return BusyError(text, retry_s=STALL_S, quota="bytes")
