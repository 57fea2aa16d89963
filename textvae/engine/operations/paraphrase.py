"""Paraphrase: sentences to variations of each, drawn about its posterior mean."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textvae.decode.rows import FinishedRow
from textvae.engine.answers import GeneratedSentence
from textvae.engine.limits import RADIUS_MAX, Limits, check_address, check_rows, check_sentences
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import (
    Address,
    Plan,
    Planning,
    decoder_rows,
    draw_latents,
    generated_sentences,
    name_sentences,
)
from textvae.options import GREEDY, Options
from textvae.ranges import check_within
from textvae.text.sentence import normalise


class ParaphraseResult(NamedTuple):
    """Per asked sentence its variations, their latents and distances (in posterior deviations)."""

    variations: list[list[GeneratedSentence]]
    latents: list[np.ndarray]
    distances: list[list[float]]


@dataclass(frozen=True)
class ParaphraseRequest:
    """Sentences to `count` variations each: mean + radius * deviation * noise."""

    sentences: tuple[str, ...]
    count: int
    radius: float = 1.0
    distinct: bool = False
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows for the decoder."""
        return len(self.sentences) * self.count * self.options.slots

    def check(self, limits: Limits) -> None:
        """InputError unless within the limits."""
        check_sentences(self.sentences, limits)
        check_within("count", self.count, 1, limits.count_max)
        check_rows("count", self.rows, limits, beam=self.options.beam > 1)
        check_within("radius", self.radius, 0.0, RADIUS_MAX)
        self.options.check(limits.tokens_max)
        check_address(self.seed, self.first_index)

    def plan(
        self, loaded: LoadedVersion, limits: Limits, owner: object
    ) -> Planning[ParaphraseResult]:
        """`count` rows a sentence."""
        address = Address(self.seed, self.first_index)
        ids = loaded.tokens(name_sentences(self.sentences), limits.tokens_max)
        mean, logvar = yield from loaded.encoding(ids)
        latents = draw_latents(mean, logvar, self.count, address, loaded.library, self.radius)
        moved = (latents - np.repeat(mean, self.count, 0)) / np.exp(
            0.5 * np.repeat(logvar, self.count, 0)
        )
        distances = np.sqrt(np.mean(moved.astype(np.float64) ** 2, 1))
        rows = decoder_rows(owner, latents, address, self.options, limits, self.count)

        def finish(done: list[FinishedRow]) -> ParaphraseResult:
            written = generated_sentences(loaded.tokenizer, done, self.options)
            answer = ParaphraseResult([], [], [])
            for number, sentence in enumerate(map(normalise, self.sentences)):
                first = number * self.count
                order = np.argsort(distances[first : first + self.count], kind="stable")
                kept = first + order
                if self.distinct:
                    kept = _distinct(kept, written, sentence)
                answer.variations.append([written[index] for index in kept])
                answer.latents.append(latents[kept])
                answer.distances.append(distances[kept].tolist())
            return answer

        return Plan(rows, finish, sum(map(len, ids)))


def _distinct(indices: np.ndarray, written: list[GeneratedSentence], sentence: str) -> np.ndarray:
    """Those whose text is neither the sentence nor that of an earlier one."""
    seen = {sentence}
    kept = []
    for index in indices:
        if written[index].text not in seen:
            seen.add(written[index].text)
            kept.append(index)
    return np.array(kept, dtype=np.int64)
