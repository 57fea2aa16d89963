"""Rows of the decoder's batch: a sentence to generate or to score, and one that has ended."""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from textvae.decode.beam import Hypothesis
from textvae.decode.constraint import Constraint
from textvae.options import GREEDY, Options

BEGIN = 1
"""The tokenizer's own id of a sentence's begin."""


class Row(NamedTuple):
    """A sentence to generate or, where `targets` is set, to score."""

    owner: Hashable
    """The request of the row; it comes back with the finished row."""
    number: int
    """The row's number among those of its owner."""
    latent: np.ndarray
    """(latent,) float32"""
    tokens_max: int
    """Most tokens to generate, the end not counted."""
    options: Options = GREEDY
    seed: int = 0
    item: int = 0
    draw: int = 0
    """With seed and item the address of the row's random numbers."""
    targets: tuple[int, ...] | None = None
    """Token ids to score instead of generating; the end is scored too."""
    begin: int = BEGIN
    """The token that the first step reads; it is none of the sentence's."""
    constraint: Constraint | None = None
    """What the sentence must hold; for a row of one slot that generates."""

    prefix: tuple[int, ...] = ()
    """Token ids that the sentence begins with; what follows them is generated. No beam has one."""

    @property
    def slots(self) -> int:
        """Return the number of slots that the row takes."""
        return 1 if self.targets is not None else self.options.slots


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
