"""Sample: draws from a prior to sentences."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textvae.decode.counter import Purpose, normals, uniforms
from textvae.engine.answers import GeneratedSentence
from textvae.engine.limits import Limits, check_address
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Address, Outcome, Planning, decoder_rows, generated_sentences
from textvae.engine.prices import Work
from textvae.errors import InputError
from textvae.options import GREEDY, PRIOR_DEFAULT, SCALE_DEFAULT, SCALE_MAX, Options, Prior
from textvae.ranges import check_within


class SampleResult(NamedTuple):
    """Sentences and the latents they were generated from, (n, latent)."""

    sentences: list[GeneratedSentence]
    latents: np.ndarray
    prior: str
    """Prior of the latents: standard or fitted."""


@dataclass(frozen=True)
class SampleRequest:
    """A request for `count` sentences from a prior; `auto` is the fitted one where there is one.

    `scale` multiplies the distance of a latent from the mean of the prior or of its component.
    """

    count: int
    prior: Prior = PRIOR_DEFAULT
    scale: float = SCALE_DEFAULT
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows that it needs in the decoder."""
        return self.count * self.options.slots

    @property
    def work(self) -> Work:
        """What it asks for."""
        return Work("sample", 0, self.rows, self.rows)

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits."""
        check_within("count", self.count, 1, limits.count_max)
        check_within("scale", self.scale, 0.0, SCALE_MAX)
        self.options.check(limits.tokens_max)
        check_address(self.seed, self.first_index)

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[SampleResult]:
        """Decode one row per draw; raise InputError for a fitted prior that the version lacks."""
        address = Address(self.seed, self.first_index)
        prior = self.prior
        if prior == "auto":
            prior = "fitted" if loaded.prior else "standard"
        items = self.first_index + np.arange(self.count, dtype=np.uint64)
        noise = normals(self.seed, items, np.zeros_like(items), loaded.latent, loaded.library)
        if prior == "standard":
            latents = (self.scale * noise).astype(np.float32)
        elif loaded.prior is None:
            raise InputError("prior", "this version has no fitted prior; ask for the standard one")
        else:
            zeros = np.zeros_like(items)
            seeds = np.full_like(items, self.seed)
            components = uniforms(seeds, items, zeros, zeros, Purpose.COMPONENT, loaded.library)
            latents = loaded.prior.draw(components, noise, self.scale)
        finished = yield decoder_rows(owner, latents, address, self.options, limits)
        sentences = generated_sentences(loaded.tokenizer, finished, self.options)
        return Outcome(SampleResult(sentences, latents, prior), 0)
