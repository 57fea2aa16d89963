"""A line of JSON for each call, written by a thread of its own, so that no disk holds up a call.

What would flood it is left out and counted: more than LINES_A_S lines in a second, and what a slow
disk does not take. The next line, or one of its own, says how many those were.
"""

import json
import logging
import queue
import sys
import threading
import time
from pathlib import Path

from textvae.errors import InputError
from textvae.files import append_lines
from textvae.serve.record import CallRecord, words_of

LINES_A_S = 1000
"""Lines of one second; some 400 bytes each."""
LINES_WAITING_MAX = 4 * LINES_A_S
LINES_AT_ONCE, GATHER_S = 256, 0.1
"""Lines that are written together, and the seconds in which they come together."""
IDLE_S = 1.0
"""Seconds without a call after which what was left out is told."""
CLOSE_S = 2.0
"""Seconds that the last lines have to be written."""
STDERR = "-"

_log = logging.getLogger(__name__)


class AccessLog:
    """Takes the records of calls from the event loop; its thread writes them."""

    def __init__(self, target: str) -> None:
        """Append to the file `target`, or write to stderr; InputError where that cannot be."""
        self._path = None if target == STDERR else Path(target)
        try:
            self._write([])
        except OSError as error:
            problem = f"{target} cannot be appended to ({error.strerror or error})"
            fix = "name a file that this user may write, or - for stderr"
            raise InputError("serve.access_log", f"{problem}; {fix}") from None
        # Calls of which there is no line: by the event loop, by the thread, and those told of.
        self._skipped, self._lost, self._told = 0, 0, 0
        self._second, self._lines = 0, 0
        self._failed = False
        self._records: queue.Queue[CallRecord | None] = queue.Queue(LINES_WAITING_MAX)
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    @property
    def left_out(self) -> int:
        """Return the number of calls of which there is no line."""
        return self._skipped + self._lost

    def add(self, record: CallRecord) -> None:
        """Write a line about a call soon, or count that there is none."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        try:
            if self._lines >= LINES_A_S:
                raise queue.Full
            self._records.put_nowait(record)
            self._lines += 1
        except queue.Full:
            self._skipped += 1

    def close(self) -> None:
        """Write what waits."""
        try:
            self._records.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        """Write what comes until there is a None."""
        ended = False
        while not ended:
            records = self._next()
            ended = None in records
            lines = [record.line() for record in records if record is not None]
            calls, left_out = len(lines), self.left_out
            if left_out > self._told:
                lines = lines or [{"time": words_of(time.time())}]
                lines[-1]["left_out"] = left_out - self._told
            if self._has_written([json.dumps(line) for line in lines]):
                self._told = left_out
            else:
                self._lost += calls

    def _next(self) -> list[CallRecord | None]:
        """Return the records that wait, and wait for one where there is none."""
        try:
            found = [self._records.get(timeout=IDLE_S)]
        except queue.Empty:
            return []
        if found[0] is not None:
            time.sleep(GATHER_S)
        # No other thread takes records, so that what is there stays until it is taken here.
        while found[-1] is not None and len(found) < LINES_AT_ONCE and not self._records.empty():
            found.append(self._records.get_nowait())
        return found

    def _has_written(self, lines: list[str]) -> bool:
        """Write lines; where that fails return False, and log it, once until it goes well again."""
        try:
            if lines:
                self._write(lines)
                self._failed = False
        except OSError as error:
            if not self._failed:
                _log.error("the access log cannot be written: %s; goes on trying", error)
            self._failed = True
            return False
        return True

    def _write(self, lines: list[str]) -> None:
        """Write lines to the file, opened each time so that it may be moved away, or to stderr."""
        if self._path is not None:
            append_lines(self._path, lines)
        elif lines:
            sys.stderr.write("\n".join((*lines, "")))
            sys.stderr.flush()
