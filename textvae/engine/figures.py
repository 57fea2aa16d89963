"""What was counted: one thread counts, and others read it without a pause of the first."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from textvae.engine.limits import Load

BATCH_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper ends of the ranges of batches."""


class Histogram:
    """Counts of values by ranges; one thread adds, any other may read."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: the upper ends of all ranges but the last, ascending."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tally:
    """The batches of one kind, and the tokens in them."""

    def __init__(self) -> None:
        self.rows = Histogram(BATCH_ROWS)
        self.tokens = 0

    def add(self, rows: int, tokens: int) -> None:
        """Count a batch."""
        self.rows.add(rows)
        self.tokens += tokens


class Figures(NamedTuple):
    """An engine at one moment."""

    load: Load
    oldest_s: float
    """Age of its oldest request, in seconds."""
    spread: float
    """How far the callers who wait are apart in what they were served, in tokens; 0 is fair."""
    tallies: Sequence[Mapping[str, Tally]]
    """Of each lane what it read and wrote; a batch that is written has a token of each row."""
