"""Siblings: sentences of one group, which say the same in other words.

A network learns to rephrase from them: for a share of the sentences that have siblings its encoder
reads one of these while its decoder writes the sentence. The decoder is told by its first token,
so that the same weights also rebuild what the encoder read.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from textvae.text.sentence import Sentence

Rows = npt.NDArray[np.int64]


class Siblings(NamedTuple):
    """The siblings of every sentence of one side."""

    members: Rows
    """(sentences,) all rows, group after group; a sentence without a group is one of its own."""
    firsts: Rows
    """(sentences,) where the group of each row begins in `members`."""
    counts: Rows
    """(sentences,) size of the group of each row, itself counted."""
    places: Rows
    """(sentences,) place of each row within its group."""

    @property
    def paired(self) -> Rows:
        """Return the rows that have a sibling, ascending."""
        return np.flatnonzero(self.counts > 1)

    def draw(self, rows: Rows, random: np.random.Generator) -> Rows:
        """(n,) rows -> (n,) a sibling of each, all alike likely; itself where it has none."""
        others = self.counts[rows] - 1
        chosen = (random.random(len(rows)) * others).astype(np.int64)
        chosen += chosen >= self.places[rows]  # its own place is left out
        siblings: Rows = self.members[self.firsts[rows] + np.where(others > 0, chosen, 0)]
        return siblings


def siblings_of(sentences: Iterable[Sentence]) -> Siblings:
    """Return the siblings of all sentences of a side: those of the same, not empty, group."""
    numbers: dict[str, int] = {}
    # A sentence without a group gets a negative number of its own.
    groups = np.array(
        [
            numbers.setdefault(sentence.group, len(numbers)) if sentence.group else -1 - row
            for row, sentence in enumerate(sentences)
        ],
        dtype=np.int64,
    )
    members = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[members], return_index=True, return_counts=True)
    firsts, sizes, places = (np.empty(len(groups), np.int64) for _ in range(3))
    firsts[members] = np.repeat(starts, counts)
    sizes[members] = np.repeat(counts, counts)
    places[members] = np.arange(len(groups)) - np.repeat(starts, counts)
    return Siblings(members, firsts, sizes, places)


class Rephrasing(NamedTuple):
    """Which sentences are learned as rephrasings, and how many of them."""

    siblings: Siblings
    share: float
    """Of the sentences that have a sibling, those for which the encoder reads one."""

    def draw(self, rows: Rows, random: np.random.Generator) -> Rows:
        """(n,) rows -> (n,) the row that the encoder reads for each: a sibling or itself."""
        chosen = random.random(len(rows)) < self.share
        return np.where(chosen, self.siblings.draw(rows, random), rows)
