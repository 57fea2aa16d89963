"""Beam search: the likeliest sentences of a latent, grown side by side.

A beam has as many slots as it is wide, a hypothesis in each. It does not depend on other rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Hypothesis(NamedTuple):
    """A sentence so far."""

    tokens: tuple[int, ...] = ()
    log_prob: float = 0.0
    """Sum over its tokens, the end counted where it was reached, at temperature 1, in nats."""
    ended: bool = False

    @property
    def score(self) -> float:
        """Return nats a token, the end counted: else the shortest sentence would win."""
        return self.log_prob / max(len(self.tokens) + self.ended, 1)


# Fills a slot until there are enough hypotheses: all its continuations have probability 0.
PLACEHOLDER = Hypothesis(log_prob=-torch.inf)


class Beam:
    """The search of one latent."""

    def __init__(self, width: int, tokens_max: int, end: int) -> None:
        """`width` hypotheses at each step, of `tokens_max` tokens at most."""
        self.width = width
        self.tokens_max = tokens_max
        self.end = end
        self._ended: list[Hypothesis] = []
        self._cut: list[Hypothesis] = []

    def first(self) -> list[Hypothesis]:
        """Return one hypothesis a slot, before the first step."""
        return [Hypothesis()] + [PLACEHOLDER] * (self.width - 1)

    def advance(
        self, hypotheses: Sequence[Hypothesis], log_probs: Tensor
    ) -> list[tuple[int, Hypothesis]]:
        """(width, vocab) log-probabilities of the next token -> for each slot the index of the
        hypothesis that it continues, and the longer hypothesis. The list is empty when the search
        is over: `width` sentences have ended, or the likeliest unended one is at its limit."""
        before = torch.tensor([each.log_prob for each in hypotheses], dtype=torch.float64)
        sums = (before[:, None] + log_probs.double()).flatten()
        top = torch.topk(sums, min(2 * self.width, len(sums)))
        grown: list[tuple[int, Hypothesis]] = []
        pairs = zip(top.values.tolist(), top.indices.tolist(), strict=True)
        for rank, (log_prob, index) in enumerate(pairs):
            parent, token = divmod(index, log_probs.shape[1])
            if log_prob == -torch.inf or len(grown) == self.width:
                break
            tokens = hypotheses[parent].tokens
            if token != self.end:
                grown.append((parent, Hypothesis((*tokens, token), log_prob)))
            elif rank < self.width:
                self._ended.append(Hypothesis(tokens, log_prob, ended=True))
        if grown and len(grown[0][1].tokens) >= self.tokens_max:
            self._cut = [hypothesis for _, hypothesis in grown]
        if not grown or self._cut or len(self._ended) >= self.width:
            return []
        return grown + [(0, PLACEHOLDER)] * (self.width - len(grown))

    def best(self) -> list[Hypothesis]:
        """Return `width` sentences at most: those that ended before those cut at the limit, and of
        each the likeliest a token first."""
        both = (sorted(some, key=lambda each: -each.score) for some in (self._ended, self._cut))
        return [hypothesis for some in both for hypothesis in some][: self.width]
