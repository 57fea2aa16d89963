"""Variations of sentences as they are drawn: from around each posterior, under its locks."""

from typing import NamedTuple

import numpy as np

from textvae.decode.constraint import Constraint
from textvae.decode.rows import FinishedRow
from textvae.engine.answers import Axes, GeneratedSentence
from textvae.engine.candidates import Broken, Reason
from textvae.engine.limits import Limits
from textvae.engine.load import LoadedVersion, Posteriors
from textvae.engine.locks import SentenceLocks
from textvae.engine.plan import (
    Address,
    Steps,
    decoder_rows,
    draw_latents,
    generated_sentences,
)
from textvae.options import Options


class LockedText(NamedTuple):
    """A lock in a variation, in characters."""

    text: str
    start: int
    end: int
    """The character after its last one."""


class Variation(NamedTuple):
    """A variation of a sentence."""

    sentence: GeneratedSentence
    latent: np.ndarray
    """(latent,) float32"""
    distance: float
    """sqrt(mean_d(((z_d - mu_d) / sigma_d)^2)), in posterior deviations."""
    axes: Axes | None = None
    """None where it was not judged."""
    locks: tuple[LockedText, ...] = ()
    """Where the locks of the sentence stand in it, in the order of the sentence."""


class Variations(NamedTuple):
    """The variations of one sentence: the best first or, not judged, the nearest latent first."""

    variations: list[Variation]
    latents: np.ndarray
    """(variations, latent) float32"""
    missing: list[Reason]
    """Why there are fewer than were asked for, one for each."""
    source_fluency: float
    """Nats a token of the sentence itself under the language model; 0 where nothing is judged."""


class Drawn(NamedTuple):
    """A variation that was drawn, before any choice."""

    variation: Variation
    tokens: tuple[int, ...]
    cut: bool
    """Whether the token limit cut it."""
    broken: Broken | None
    """Why it does not hold the constraints; None where it does."""


class Draws(NamedTuple):
    """How the variations of a request are drawn, and around what."""

    loaded: LoadedVersion
    limits: Limits
    owner: object
    posteriors: Posteriors
    locks: list[SentenceLocks | None]
    """Of each sentence."""
    begin: int
    """The decoder's first token."""
    address: Address
    options: Options

    def draw(
        self, numbers: list[int], each: int, first: int, radius: float, *, with_mean: bool
    ) -> Steps[list[list[Drawn]]]:
        """Return `each` draws of each of these sentences, from draw number `first` on.

        `with_mean`: the first of each is of the posterior mean itself.
        """
        mean, logvar = self.posteriors
        latents = draw_latents(mean, logvar, each, self.address, self.loaded.library, radius, first)
        if with_mean:
            latents[::each] = mean
        rows = decoder_rows(self.owner, latents, self.address, self.options, self.limits, each)
        own = [number * each + draw for number in numbers for draw in range(each)]
        finished = yield [
            rows[index]._replace(
                number=place,
                draw=rows[index].draw + first,
                begin=self.begin,
                constraint=self.constraint_of(index // each),
            )
            for place, index in enumerate(own)
        ]
        drawn = self._drawn(finished, latents[own], np.repeat(numbers, each))
        return [drawn[start : start + each] for start in range(0, len(drawn), each)]

    def constraint_of(self, number: int) -> Constraint | None:
        """Return the decoder's constraint of a sentence."""
        locks = self.locks[number]
        return locks.constraint if locks else None

    def _drawn(
        self, finished: list[FinishedRow], latents: np.ndarray, sources: np.ndarray
    ) -> list[Drawn]:
        """(n,) rows, (n, latent), (n,) numbers of their sentences -> what was decoded."""
        mean, logvar = self.posteriors
        shifts = (latents - mean[sources]) / np.exp(0.5 * logvar[sources])
        distances = np.sqrt(np.mean(shifts.astype(np.float64) ** 2, 1)).tolist()
        generated = generated_sentences(self.loaded.tokenizer, finished, self.options)
        drawn = []
        for row, source, *parts in zip(
            finished, sources.tolist(), generated, latents, distances, strict=True
        ):
            locks = self.locks[source]
            variation = with_locks(Variation(*parts), locks)
            broken = locks.broken(variation.sentence.text) if locks else None
            drawn.append(Drawn(variation, tuple(row.tokens), not row.ended, broken))
        return drawn


def with_locks(variation: Variation, locks: SentenceLocks | None) -> Variation:
    """Return a variation that says where the locks of its sentence stand."""
    if not locks:
        return variation
    places = zip(locks.texts, locks.places(variation.sentence.text) or (), strict=False)
    return variation._replace(locks=tuple(LockedText(text, *place) for text, place in places))


def variations_of(
    chosen: list[Variation],
    latent: int,
    missing: list[Reason] | None = None,
    source_fluency: float = 0.0,
) -> Variations:
    """Return the variations with their latents as one matrix."""
    latents = np.array([one.latent for one in chosen], np.float32).reshape(-1, latent)
    return Variations(chosen, latents, missing or [], source_fluency)
