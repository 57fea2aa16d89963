"""Rows of the decoder's batch: one sentence to be written or judged, and one that has ended."""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from textvae.decode.beam import Hypothesis
from textvae.options import GREEDY, Options


class Row(NamedTuple):
    """One sentence to be written or, where `given` is set, to be judged."""

    owner: Hashable
    """Whose row it is; comes back with the finished row."""
    number: int
    """The row's number among its owner's."""
    latent: np.ndarray
    """(latent,) float32"""
    tokens_max: int
    """Most tokens written, the end not counted."""
    options: Options = GREEDY
    seed: int = 0
    item: int = 0
    draw: int = 0
    """With seed and item the address of the row's random numbers."""
    given: tuple[int, ...] | None = None
    """Token ids to judge instead of writing; the end is judged too."""

    @property
    def slots(self) -> int:
        """How many it takes."""
        return 1 if self.given is not None else self.options.slots


class FinishedRow(NamedTuple):
    """A row that has ended."""

    row: Row
    tokens: list[int]
    log_prob: float
    """Sum over its tokens, the end counted where it was reached, at temperature 1, in nats."""
    ended: bool
    batch_rows: int
    """Most rows that shared a step with it, itself counted."""
    others: tuple[Hypothesis, ...] = ()
    """The beam's other sentences, the best first."""
