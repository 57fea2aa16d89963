"""Which requests the engine takes: those that find room, and that it can answer in time.

A caller may have as many rows as there is room for others (dynamic thresholds, Choudhury & Hahne
1998): one greedy caller leaves room for more than itself. Where a request says by when its answer
is wanted, it is refused at once if the work before it, in fair order, would take too much of that
time.
"""

import threading
import time

from textvae.engine.caller import NOBODY, Caller
from textvae.engine.job import Job
from textvae.engine.limits import Load
from textvae.engine.prices import Prices
from textvae.errors import BusyError, ExpiredError

CALLERS_ROOM = 4
"""Rows in all, as a multiple of those of one caller."""
SAME_LENGTH = 3.0
"""Work that takes so many times as long as other work counts as no longer: prices vary."""
HOPELESS = 2.0
"""A call with less time than its own work takes may try, for prices are estimates; one with less
than this part of it may not."""
SURE = 0.75
"""Part of its time that a call behind others may take in all, by its price."""
BULK_SHARE = 1 / 16
"""Share of the steps that bulk work has at least, beside interactive work."""


class _Held:
    """What a caller has in the engine."""

    def __init__(self) -> None:
        self.jobs: set[Job] = set()
        self.rows = 0
        self.seconds = 0.0


class Admission:
    """The accounts of all requests in the engine; any thread may use them."""

    def __init__(self, prices: Prices, rows_max: int, queue_share: float, slots: int = 1) -> None:
        """`rows_max`: of one caller. `queue_share`: of its time that a request may wait."""
        self._slots = slots
        self._prices = prices
        self._rows_max = rows_max
        self._queue_share = queue_share
        self._lock = threading.Lock()
        self._held: dict[Caller, _Held] = {}
        self.rows = 0
        """Rows of all requests that have not ended."""

    def load(self, active_rows: int, slots: int) -> Load:
        """Return how busy the engine is; any thread may ask."""
        waiting = max(self.rows - active_rows, 0)
        return Load(active_rows, waiting, slots, self.waiting_s, self.callers)

    @property
    def callers(self) -> int:
        """Return the number of callers that have requests in the engine."""
        return len(self._held)

    @property
    def oldest_s(self) -> float:
        """Return the age of the oldest request, in seconds; 0 where there is none."""
        jobs = (job for held in list(self._held.values()) for job in list(held.jobs))
        oldest_ns = min((job.submitted_ns for job in jobs), default=None)
        return 0.0 if oldest_ns is None else (time.perf_counter_ns() - oldest_ns) / 1e9

    @property
    def waiting_s(self) -> float:
        """Return the seconds that a new caller would wait before one row of its own."""
        seconds = self._prices.row_s(NOBODY.name)
        return self._wait_s(NOBODY, _Held(), seconds) - seconds

    def take(self, job: Job) -> None:
        """Enter a request into the accounts; raise BusyError where it cannot be taken now, and
        ExpiredError where it never could be answered in its time."""
        seconds = self._prices.seconds(job.work)
        with self._lock:
            own = self._held.get(job.caller) or _Held()
            self._check_rows(job, own)
            self._check_time(job, own, seconds)
            self._held[job.caller] = own
            own.jobs.add(job)
            job.is_held = True
            self._add(job, own, job.work.rows, seconds)

    def grow(self, job: Job, rows: int) -> None:
        """Enter more rows, which a request turned out to need."""
        with self._lock:
            if job.is_held:
                self._add(job, self._held[job.caller], rows, 0.0)

    def row_ended(self, job: Job, rows: int, seconds: float) -> None:
        """Return the rows and seconds of what has ended, before the rest of its request."""
        with self._lock:
            if job.is_held:
                rows, seconds = min(rows, job.cost), min(seconds, job.price_s)
                self._add(job, self._held[job.caller], -rows, -seconds)

    def release(self, job: Job) -> None:
        """Return all that a request has left; once."""
        with self._lock:
            if job.is_held:
                own = self._held[job.caller]
                self._add(job, own, -job.cost, -job.price_s)
                job.is_held = False
                own.jobs.discard(job)
                if not own.jobs:
                    del self._held[job.caller]

    def _add(self, job: Job, own: _Held, rows: int, seconds: float) -> None:
        """Add to the accounts of a request, its caller, and all."""
        job.cost += rows
        job.price_s += seconds
        own.rows += rows
        own.seconds += seconds
        self.rows += rows

    def _check_rows(self, job: Job, own: _Held) -> None:
        """Raise BusyError where the caller, or all, would have too many rows."""
        asked = job.work.rows
        after = own.rows + asked
        room = CALLERS_ROOM * self._rows_max - self.rows - asked
        if not self.rows or after <= min(self._rows_max, room):
            return
        waiting, most = own.rows, self._rows_max
        if after <= self._rows_max:
            waiting, most = self.rows, CALLERS_ROOM * self._rows_max
        raise BusyError(
            f"engine: {waiting} rows of at most {most} are waiting and {asked} more were asked; "
            "call later or ask for fewer",
            retry_s=_retry_s(self._prices.row_s(job.work.kind) * min(asked, waiting)),
            quota="rows",
        )

    def _check_time(self, job: Job, own: _Held, seconds: float) -> None:
        """Raise BusyError where the request would wait for too much of its time."""
        if job.deadline_s is None:
            return
        left_s = job.deadline_s - time.monotonic()
        wait_s = self._wait_s(job.caller, own, seconds)
        before_s = wait_s - seconds
        if seconds > HOPELESS * left_s:
            raise ExpiredError(
                f"engine: the call has {left_s:.2f} s and its answer alone takes some "
                f"{seconds:.2f} s; ask for less, or give it more time"
            )
        if before_s:  # in full batches its longest row takes its time too
            wait_s += self._prices.serial_s(job.work.kind, self._slots)
        if before_s <= self._queue_share * left_s and (wait_s <= SURE * left_s or not before_s):
            return
        too_long_s = max(before_s - self._queue_share * left_s, wait_s - SURE * left_s)
        raise BusyError(
            f"engine: the answer would take {wait_s:.2f} s and the call has {left_s:.2f} s, of "
            f"which it may wait for {self._queue_share:.0%}; call later, ask for less, or give it "
            "more time",
            retry_s=_retry_s(too_long_s),
            quota="time",
        )

    def _wait_s(self, caller: Caller, own: _Held, seconds: float) -> float:
        """Return the seconds; where they decide, the lock is held.

        Of the caller's own work, what is as long or shorter goes before. Until that is served,
        another caller is served as much, over its weight, or all of its work where that is less.
        """
        before = (job.price_s for job in own.jobs if job.price_s <= SAME_LENGTH * seconds)
        mine = seconds + sum(before)
        wait_s = mine
        for other, held in list(self._held.items()):
            if other != caller:
                fair = min(held.seconds, mine * other.weight / caller.weight)
                if other.is_bulk and not caller.is_bulk:
                    fair *= BULK_SHARE
                elif caller.is_bulk and not other.is_bulk:
                    fair = held.seconds
                wait_s += fair
        return wait_s


def _retry_s(seconds: float) -> float:
    """Return when to try again: not at once, and not in an hour."""
    return min(max(seconds, 0.05), 60.0)
