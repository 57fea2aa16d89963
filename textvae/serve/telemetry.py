"""What happened to all calls: counts by method, status and reason, and who is told of them."""

import asyncio
import logging
import time
from collections import Counter

from textvae.engine.figures import Histogram
from textvae.serve.access_log import AccessLog
from textvae.serve.record import CallRecord

CALL_S = (
    0.0, 1e-05, 5e-05, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006,
    0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2,
    0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
)  # fmt: skip
"""Upper ends of the ranges of a call's seconds, as gRFC A66 has them."""
UNKNOWN_METHOD = "other"
"""The name of all methods that there are not (gRFC A66), for anyone can make up more."""
FIRST_S, LINE_S = 1.0, 60.0
"""Seconds from the first refusal to the line that tells of it, and between two such lines."""

_log = logging.getLogger(__name__)


class Telemetry:
    """Counts the calls; the event loop alone changes it, any thread may read."""

    def __init__(self, access_log: AccessLog | None = None) -> None:
        self.access_log = access_log
        self.started: Counter[str] = Counter()
        """Calls by method."""
        self.durations: dict[tuple[str, str], Histogram] = {}
        """Seconds of the calls that are over, by method and status."""
        self.refused: Counter[tuple[str, str]] = Counter()
        """Calls by the reason of the refusal and the limit that was reached."""
        self.received: Counter[str] = Counter()
        """Bytes of messages by method."""
        self.sent: Counter[str] = Counter()
        """Bytes of responses by method."""
        self._refusals = RefusalLog()

    def count_unknown(self) -> None:
        """Count a call of a method that there is not."""
        record = CallRecord(UNKNOWN_METHOD)
        record.fail("UNIMPLEMENTED")
        self.begin(record)
        self.end(record)

    def begin(self, record: CallRecord) -> None:
        """Count a call that has begun."""
        self.started[record.method] += 1

    def end(self, record: CallRecord) -> None:
        """Count a call that is over, and tell of it."""
        record.end()
        key = (record.method, record.status)
        if key not in self.durations:
            self.durations[key] = Histogram(CALL_S)
        self.durations[key].add(record.total_s)
        self.received[record.method] += record.bytes_in
        self.sent[record.method] += record.bytes_out
        if record.reason:
            self.refused[record.reason, record.quota] += 1
        if record.status not in ("OK", "CANCELLED"):
            self._refusals.add(record)
        if self.access_log is not None:
            self.access_log.add(record)

    def close(self) -> None:
        """Tell of what has not been told."""
        self._refusals.close()
        if self.access_log is not None:
            self.access_log.close()


class RefusalLog:
    """A warning, at most one in LINE_S, of how many calls failed, and why."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._since_s = 0.0
        self._written_s = -LINE_S
        self._timer: asyncio.TimerHandle | None = None

    def add(self, record: CallRecord) -> None:
        """Count a call that failed; a line tells of it soon."""
        self._counts[_why(record)] += 1
        if self._timer is None:
            self._since_s = time.monotonic()
            wait_s = max(self._written_s + LINE_S - self._since_s, FIRST_S)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._write)

    def close(self) -> None:
        """Write what is not written."""
        if self._timer is not None:
            self._timer.cancel()
            self._write()

    def _write(self) -> None:
        """Write the line, and begin anew."""
        self._timer, self._written_s = None, time.monotonic()
        parts = ", ".join(f"{count} {why}" for why, count in self._counts.most_common())
        seconds = self._written_s - self._since_s
        _log.warning("%d calls were refused in %.0f s: %s", self._counts.total(), seconds, parts)
        self._counts.clear()


def _why(record: CallRecord) -> str:
    """Return why a call failed, in few words: the limit, else the reason, else the status."""
    return f"for {record.quota}" if record.quota else record.reason or record.status
