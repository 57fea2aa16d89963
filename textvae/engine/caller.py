"""Whom requests are from."""

from typing import NamedTuple


class Caller(NamedTuple):
    """One who calls; each is served its fair share."""

    name: str = ""
    weight: float = 1.0
    """Of its share."""
    is_bulk: bool = False
    """Whether its work gives way to work that somebody waits for."""


NOBODY = Caller()
"""The caller of requests that come from no call."""
