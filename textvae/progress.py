"""How long-running work reports its progress: one protocol, which the job that starts it shows."""

from collections.abc import Mapping
from typing import Protocol


class ProgressCallback(Protocol):
    """A function that long-running work calls after each part of it."""

    def __call__(
        self, what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        """Take the work's name, parts done, parts in all, and its newest figures by name."""


def no_progress(
    what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
) -> None:
    """Ignore the report."""
