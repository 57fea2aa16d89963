"""How a sentence is written from a latent: declared and checked once, for client and server."""

import math
from typing import NamedTuple

from textvae.errors import InputError
from textvae.ranges import check_within

TEMPERATURE_MAX = 10.0
BEAM_MAX = 8
TOP_K_MAX = 2**63 - 1
"""The largest number of the field on the wire."""


class Options(NamedTuple):
    """How a sentence is written from a latent; greedily where nothing is said."""

    temperature: float = 0.0
    """Softmax temperature, 0 to 10; 0 takes the likeliest token (greedy)."""
    top_k: int = 0
    """Draws among the k likeliest tokens only; 0 for all."""
    top_p: float = 1.0
    """Draws among the likeliest tokens that together have this mass, above 0 to 1."""
    tokens_max: int = 0
    """Most tokens written; 0 for the server's limit."""
    min_p: float = 0.0
    """Draws among the tokens at least this times as probable as the likeliest, 0 to 1."""
    no_repeat: int = 0
    """Never writes a run of this many tokens that the sentence already has; 0 for no guard."""
    beam: int = 0
    """Hypotheses that a beam search keeps, 0 to 8; 0 and 1 for none."""
    alternatives: int = 0
    """Other sentences of the beam to return, below `beam`."""

    @property
    def slots(self) -> int:
        """Rows of the decoder's batch that one sentence takes: the width of its beam."""
        return max(self.beam, 1)

    def check(self, tokens_max: int) -> None:
        """Raise InputError unless every option is within its limits; `tokens_max` is the server's
        limit."""
        check_within("temperature", self.temperature, 0.0, TEMPERATURE_MAX)
        check_within("top_k", self.top_k, 0, TOP_K_MAX)
        if not (math.isfinite(self.top_p) and 0 < self.top_p <= 1):
            raise InputError("top_p", f"must be above 0 and at most 1, got {self.top_p}")
        check_within("tokens_max", self.tokens_max, 0, tokens_max)
        check_within("min_p", self.min_p, 0.0, 1.0)
        check_within("no_repeat", self.no_repeat, 0, tokens_max)
        check_within("beam", self.beam, 0, BEAM_MAX)
        if self.beam > 1 and self.temperature > 0:
            raise InputError("beam", "must be 0 with a temperature; a beam does not draw")
        check_within("alternatives", self.alternatives, 0, max(self.beam - 1, 0))


GREEDY = Options()
