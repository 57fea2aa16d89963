"""Paraphrase: sentences to variations of each, decoded from draws about its posterior mean."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textvae.engine.answers import GeneratedSentence
from textvae.engine.limits import Limits, check_address, check_rows, check_sentences
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import (
    Address,
    Outcome,
    Planning,
    decoder_rows,
    draw_latents,
    generated_sentences,
    name_sentences,
)
from textvae.options import GREEDY, RADIUS_DEFAULT, RADIUS_MAX, Options
from textvae.ranges import check_within
from textvae.text.sentence import normalise


class ParaphraseResult(NamedTuple):
    """For each sentence its variations, nearest first, with their latents, (variations, latent).

    A distance is sqrt(mean_d(((z_d - mu_d) / sigma_d)^2)), in posterior deviations.
    """

    variations: list[list[GeneratedSentence]]
    latents: list[np.ndarray]
    distances: list[list[float]]


@dataclass(frozen=True)
class ParaphraseRequest:
    """A request for `count` variations of each sentence: z = mu + radius * sigma * epsilon."""

    sentences: tuple[str, ...]
    count: int
    radius: float = RADIUS_DEFAULT
    distinct: bool = False
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows that it needs in the decoder."""
        return len(self.sentences) * self.count * self.options.slots

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits."""
        check_sentences(self.sentences, limits)
        check_within("count", self.count, 1, limits.count_max)
        check_rows("count", self.rows, limits, beam=self.options.beam > 1)
        check_within("radius", self.radius, 0.0, RADIUS_MAX)
        self.options.check(limits.tokens_max)
        check_address(self.seed, self.first_index)

    def plan(
        self, loaded: LoadedVersion, limits: Limits, owner: object
    ) -> Planning[ParaphraseResult]:
        """Decode `count` rows per sentence."""
        address = Address(self.seed, self.first_index)
        ids = loaded.tokens(name_sentences(self.sentences), limits.tokens_max)
        mean, logvar = yield from loaded.encoding(ids)
        latents = draw_latents(mean, logvar, self.count, address, loaded.library, self.radius)
        shifts = (latents - np.repeat(mean, self.count, 0)) / np.exp(
            0.5 * np.repeat(logvar, self.count, 0)
        )
        distances = np.sqrt(np.mean(shifts.astype(np.float64) ** 2, 1))
        finished = yield decoder_rows(owner, latents, address, self.options, limits, self.count)
        generated = generated_sentences(loaded.tokenizer, finished, self.options)
        result = ParaphraseResult([], [], [])
        for number, sentence in enumerate(map(normalise, self.sentences)):
            first = number * self.count
            order = np.argsort(distances[first : first + self.count], kind="stable")
            indices = first + order
            if self.distinct:
                indices = _distinct(indices, generated, sentence)
            result.variations.append([generated[index] for index in indices])
            result.latents.append(latents[indices])
            result.distances.append(distances[indices].tolist())
        return Outcome(result, sum(map(len, ids)))


def _distinct(indices: np.ndarray, generated: list[GeneratedSentence], sentence: str) -> np.ndarray:
    """Return the indices whose text is neither the sentence nor the text of an earlier index."""
    texts = {sentence}
    distinct = []
    for index in indices:
        if generated[index].text not in texts:
            texts.add(generated[index].text)
            distinct.append(index)
    return np.array(distinct, dtype=np.int64)
