"""What is told of a call: figures and names, never a word of its text."""

import datetime
import time
from contextvars import ContextVar
from typing import Any


class CallRecord:
    """The figures of a call, filled in as it goes on; those of no call are nobody's."""

    def __init__(self, method: str = "") -> None:
        """`method` without the leading stroke, as in textvae.v1.TextVaeService/Encode."""
        self.method = method
        self._began_s = time.perf_counter()
        self.ended_s = 0.0
        """Time of its end, since 1970."""
        self.total_s = 0.0
        self.status = "OK"
        self.reason = ""
        """Of the ErrorInfo, where the server refused or ended the call."""
        self.quota = ""
        """The limit that was reached: rows, time, bytes or calls."""
        self.rows = 0
        self.tokens = 0
        self.queue_us = 0
        self.compute_us = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.version = ""
        self.caller = ""
        self.priority = ""

    def fail(self, status: str, reason: str = "", quota: str = "") -> None:
        """Record how the call ends, where that is not with a response."""
        self.status, self.reason, self.quota = status, reason, quota

    def end(self) -> None:
        """Record when the call ended, and how long it took."""
        self.ended_s = time.time()
        self.total_s = time.perf_counter() - self._began_s

    def line(self) -> dict[str, Any]:
        """Return what the access log says of the call."""
        return {
            "time": words_of(self.ended_s),
            "method": self.method,
            "status": self.status,
            "reason": self.reason,
            "quota": self.quota,
            "rows": self.rows,
            "tokens": self.tokens,
            "queue_ms": self.queue_us / 1000,
            "compute_ms": self.compute_us / 1000,
            "total_ms": round(1000 * self.total_s, 3),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "version": self.version,
            "caller": self.caller,
            "priority": self.priority,
        }


def words_of(seconds: float) -> str:
    """Return a time since 1970 as ISO 8601 has it, in UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")


_CURRENT: ContextVar[CallRecord] = ContextVar("record")


def begin_record(method: str) -> CallRecord:
    """Return the record of the call that this task answers."""
    record = CallRecord(method.removeprefix("/"))
    _CURRENT.set(record)
    return record


def current_record() -> CallRecord:
    """Return the record of the call that is answered here."""
    return _CURRENT.get(None) or CallRecord()
