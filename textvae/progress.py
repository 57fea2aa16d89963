"""How long work says how far it is: one protocol for all of it, shown by whoever started it."""

from collections.abc import Mapping
from typing import Protocol


class ProgressCallback(Protocol):
    """What long work calls now and then."""

    def __call__(
        self, what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        """Take notice of the work's name, parts done, parts in all, and its newest figures."""


def no_progress(
    what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
) -> None:
    """Take no notice."""
