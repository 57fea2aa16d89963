"""Encode: sentences to posteriors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textvae.engine.limits import Limits, check_address, check_rows, check_sentences
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Address, Outcome, Planning, draw_latents, name_sentences
from textvae.engine.prices import Work
from textvae.ranges import check_within


class EncodeResult(NamedTuple):
    """Posteriors, (n, latent) float32 each, and samples of them, (n * samples, latent) float32.

    The samples of one sentence are adjacent rows.
    """

    mean: np.ndarray
    logvar: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True)
class EncodeRequest:
    """A request for the posteriors of sentences, with `samples` draws of each."""

    sentences: tuple[str, ...]
    samples: int = 0
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Latents that it returns."""
        return len(self.sentences) * max(self.samples, 1)

    @property
    def work(self) -> Work:
        """What it asks for."""
        return Work("encode", sum(map(len, self.sentences)), self.rows, 0)

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits."""
        check_sentences(self.sentences, limits)
        check_within("sample_count", self.samples, 0, limits.count_max)
        check_rows("sample_count" if self.samples else "sentences", self.rows, limits)
        check_address(self.seed, self.first_index)

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[EncodeResult]:
        """Encode the sentences; no row is decoded."""
        address = Address(self.seed, self.first_index)
        ids = yield from loaded.tokens(name_sentences(self.sentences), limits.tokens_max)
        posteriors = yield from loaded.encoding(ids)
        samples = draw_latents(*posteriors, self.samples, address, loaded.library)
        result = EncodeResult(posteriors.mean, posteriors.logvar, samples)
        return Outcome(result, sum(map(len, ids)))


def encode_all(
    answer: Callable[[EncodeRequest], EncodeResult],
    limits: Limits,
    sentences: Sequence[str],
    seed: int,
) -> EncodeResult:
    """Return the posteriors of all sentences, with one draw each; `answer` is an engine's."""
    step = limits.sentences_max
    parts = [
        answer(EncodeRequest(tuple(sentences[first : first + step]), 1, seed, first))
        for first in range(0, len(sentences), step)
    ]
    return EncodeResult(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
