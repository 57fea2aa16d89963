"""The calls in hand: how long each may wait for its client, how it is ended, and the drain.

A call begins with its headers, before its message, and ends when its response has been taken.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from textvae.errors import BusyError, UnavailableError
from textvae.serve.record import begin_record
from textvae.serve.status import TooSlowError

CALLS_MAX = 10_000
"""Calls in hand; more are refused."""
ENDING_S = 1.0
"""Seconds that calls which the server ends have to send their status."""
REFUSAL_S = 0.05
"""Seconds that a refusal takes while the server drains."""
QUIET_S, HOLD_MAX_S = 0.25, 3.0
"""Seconds without a new call after which all who call again at once are held, and the most."""
LOG_S = 1.0
"""Seconds between two lines about clients that were too slow; a flood of them is one line."""
STOPS = "the server stops before this call is done; call another"
DRAINS = "the server drains; call another, or this address again in a few seconds"

_log = logging.getLogger(__name__)


class Call:
    """A call in hand; it runs in the task that began it."""

    def __init__(self, method: str, peer: Callable[[], str], *, is_endless: bool = False) -> None:
        """`is_endless`: a stream such as a watch of the health, which ends with the server."""
        task = asyncio.current_task()
        assert task is not None
        self.method = method
        self.peer = peer
        self.is_endless = is_endless
        self.record = begin_record(method)
        self.bytes = 0
        """What it holds of a quota."""
        self.problem: Exception | None = None
        """Why the server ended it."""
        self._task = task
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` in `seconds`, instead of what was to be called before."""
        self.stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, act)

    def limit(self, seconds: float, problem: str) -> None:
        """End the call as too slow in `seconds`."""
        self.after(seconds, lambda: self.end(TooSlowError(problem)))

    def stop_timer(self) -> None:
        """Let the call take its time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, problem: Exception) -> None:
        """End the call with the status of `problem` or, while it sends its response, drop it."""
        if self.problem is None:
            self.problem = problem
            self._task.cancel()

    @property
    def was_cut(self) -> bool:
        """Return whether the call, which is over, was cancelled before its response had gone."""
        return self._task.done() and self._task.cancelled()

    def on_end(self, done: Callable[[], None]) -> None:
        """Call `done` when the call is over, its response taken or not."""
        self._task.add_done_callback(lambda _: done())


class Calls:
    """All calls in hand; a drain waits for them and refuses new ones."""

    def __init__(self) -> None:
        self._in_hand: set[Call] = set()
        self._draining = False
        self._refused = 0
        self._idle, self._answering = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._answering.set()
        self._slow_logged_s = 0.0
        self._slow_unlogged = 0

    def in_hand(self) -> int:
        """Return the number of calls in hand."""
        return len(self._in_hand)

    async def begin(self, call: Call) -> None:
        """Take a call in hand.

        Raise BusyError where there are too many, UnavailableError in a drain.
        """
        if self._draining:
            self._refused += 1
            # Whoever calls again at once must not take the time of the calls that end.
            await asyncio.sleep(REFUSAL_S)
            await self._answering.wait()
            raise UnavailableError(DRAINS)
        if len(self._in_hand) >= CALLS_MAX:
            problem = f"{CALLS_MAX} calls are in hand"
            raise BusyError(f"server: {problem}; call again later", retry_s=1.0, quota="calls")
        self._in_hand.add(call)
        self._idle.clear()
        call.on_end(lambda: self._forget(call))

    async def drain(self, drain_s: float) -> None:
        """Refuse new calls, wait `drain_s` for those in hand, then end them with a status."""
        self._draining = True
        for call in list(self._in_hand):
            if call.is_endless:
                call.end(UnavailableError(DRAINS))
        if not await self._wait(drain_s):
            _log.warning("%d calls were not done within %g s", len(self._in_hand), drain_s)
        self.end_all()
        await self._wait(ENDING_S)

    async def hold(self) -> None:
        """Let new calls wait for their refusal until `release`; return when no more come.

        grpc cancels the calls that come in while it stops, without a word. A client that calls
        again at once is held here when it does, and gets its refusal after.
        """
        self._answering.clear()
        end_s, refused = time.monotonic() + HOLD_MAX_S, -1
        while self._refused != refused and time.monotonic() < end_s:
            refused = self._refused
            await asyncio.sleep(QUIET_S)

    def release(self) -> None:
        """Refuse the calls that `hold` holds."""
        self._answering.set()

    def end_all(self, problem: str = STOPS) -> None:
        """End the calls in hand with a status that says why, and refuse new ones."""
        self._draining = True
        for call in list(self._in_hand):
            call.end(UnavailableError(problem))

    async def _wait(self, seconds: float) -> bool:
        """Return True when no call is in hand, False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _forget(self, call: Call) -> None:
        """Count a call no more, for it is over; log a client that was too slow."""
        call.stop_timer()
        self._in_hand.discard(call)
        if not self._in_hand:
            self._idle.set()
        if isinstance(call.problem, TooSlowError):
            self._log_slow(call)

    def _log_slow(self, call: Call) -> None:
        """Log a call whose client was too slow, at most one line in `LOG_S`."""
        now_s = time.monotonic()
        if now_s - self._slow_logged_s < LOG_S:
            self._slow_unlogged += 1
            return
        others = f" (as were {self._slow_unlogged} before)" if self._slow_unlogged else ""
        text = "%s of %s was ended%s: %s"
        _log.info(text, call.method, call.peer(), others, call.problem)
        self._slow_logged_s, self._slow_unlogged = now_s, 0
