"""How long a call is tried again where the server is full, drains, loads, or is not there."""

import random
import time

from textvae.client.failures import status_of
from textvae.errors import BusyError, InputError, TextVaeError, UnavailableError

WAIT_S = 10.0
"""Seconds that a call may be tried again, where the client is not told otherwise."""
LOST_MOST = 3
"""Times that a call is tried again where no server answers, or its connection was lost."""
PAUSE_FIRST_S, PAUSE_MOST_S = 0.1, 2.0
"""Between two tries where the server does not say when it may have time."""


class Patience:
    """The time that one call may wait in all."""

    def __init__(self, wait_s: float, *, wait_for_ready: bool) -> None:
        """`wait_for_ready`: also for a server that is not there."""
        self._ends_s = time.monotonic() + wait_s
        self._wait_for_ready = wait_for_ready
        self._pause_s = PAUSE_FIRST_S
        self._lost = 0

    def pause_s(self, error: TextVaeError) -> float | None:
        """Return after how long to try again; None where `error` is to be raised.

        As many callers as are told the same time come at different ones: up to a half later.
        """
        if isinstance(error, BusyError):
            pause_s = error.retry_s
        elif isinstance(error, UnavailableError) and self._may_come(error):
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, PAUSE_MOST_S)
        else:
            return None
        pause_s *= 1 + random.random() / 2  # noqa: S311 - only to spread the callers
        return pause_s if time.monotonic() + pause_s < self._ends_s else None

    def _may_come(self, error: UnavailableError) -> bool:
        """Return whether the server says that it will answer, or may be there again soon."""
        if error.is_there:
            return True
        if status_of(error) != "UNAVAILABLE":  # there was no answer in time
            return False
        self._lost += 1
        return self._wait_for_ready or self._lost <= LOST_MOST


def check_wait(wait_s: float) -> float:
    """Return the seconds; raise InputError where they are negative or no number."""
    if not wait_s >= 0:
        raise InputError("wait_s", f"must be 0 or more, got {wait_s}; 0 tries once")
    return wait_s
