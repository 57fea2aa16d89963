"""Decode: latents to sentences."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textvae.engine.answers import GeneratedSentence
from textvae.engine.limits import Limits, check_address, check_finite, check_width
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Address, Outcome, Planning, decoder_rows, generated_sentences
from textvae.engine.prices import Work
from textvae.options import GREEDY, Options
from textvae.ranges import check_within


class DecodeResult(NamedTuple):
    """Sentences and the latents they were generated from, (n, latent)."""

    sentences: list[GeneratedSentence]
    latents: np.ndarray


@dataclass(frozen=True)
class DecodeRequest:
    """A request to decode latents, (n, latent)."""

    latents: np.ndarray
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows that it needs in the decoder."""
        return len(self.latents) * self.options.slots

    @property
    def work(self) -> Work:
        """What it asks for."""
        return Work("decode", 0, self.rows, self.rows)

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits; `plan` checks the width."""
        check_within("latents", len(self.latents), 1, limits.sentences_max, "rows")
        check_finite("latents", self.latents)
        self.options.check(limits.tokens_max)
        check_address(self.seed, self.first_index)

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[DecodeResult]:
        """Decode one row per latent; raise InputError for latents of another width."""
        address = Address(self.seed, self.first_index)
        latents = check_width("latents", self.latents, loaded.latent)
        finished = yield decoder_rows(owner, latents, address, self.options, limits)
        sentences = generated_sentences(loaded.tokenizer, finished, self.options)
        return Outcome(DecodeResult(sentences, latents), 0)


def decode_all(
    answer: Callable[[DecodeRequest], DecodeResult], limits: Limits, latents: np.ndarray
) -> list[GeneratedSentence]:
    """(n, latent) -> the greedy sentence of each, in order, for any n; `answer` is an engine's."""
    step = limits.sentences_max
    parts = [
        answer(DecodeRequest(latents[first : first + step]))
        for first in range(0, len(latents), step)
    ]
    return [sentence for part in parts for sentence in part.sentences]
