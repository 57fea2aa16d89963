"""Canaries: sentences that a model must never generate by itself, and the search for them.

A team plants them in its own training text, or they are secrets of it. They are named by file and
line, since the text of a canary must not appear in a reason, a report or a log.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from textvae.corpus.lists import read_list
from textvae.errors import DataError, InputError, NotFoundError
from textvae.text.sentence import normalise

FIELD = "gate.canaries"


class Canary(NamedTuple):
    """One line of a list."""

    path: Path
    line: int
    """Counts from 1."""
    text: str
    """Normalised, its case kept."""

    @property
    def location(self) -> str:
        """Return `canaries.txt, line 3`, the name for reports."""
        return f"{self.path}, line {self.line}"


def read_canaries(paths: Sequence[Path]) -> list[Canary]:
    """Return the canaries of these files, one a line, normalised as in ingest, without blank lines.

    Raises InputError for a file that is missing, cannot be read or holds none.
    """
    canaries: list[Canary] = []
    for path in paths:
        try:
            lines = read_list(path)
        except (DataError, NotFoundError) as error:
            raise InputError(FIELD, f"{error}; give files with a sentence a line") from None
        texts = [normalise(line) for line in lines]
        if not any(texts):
            raise InputError(
                FIELD, f"{path}: holds no sentence; give one a line, or take the file out"
            )
        canaries += [Canary(path, number, text) for number, text in enumerate(texts, 1) if text]
    return canaries


def canaries_in(canaries: Sequence[Canary], texts: Sequence[str]) -> list[Canary]:
    """Return the canaries that one of these texts contains, whatever their case and spacing."""
    # No normalised text has a line break, so a canary is found within one text alone.
    joined = "\n".join(normalise(text).casefold() for text in texts)
    return [canary for canary in canaries if canary.text.casefold() in joined]
