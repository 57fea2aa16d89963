"""The axes that candidates of a paraphrase are judged on, by the version's own networks.

Adequacy asks how much source and candidate say of each other, fluency how likely the candidate is
as a sentence, novelty how little of the source it repeats. A copy is as adequate as can be and not
novel; a sentence about something else is novel and not adequate.
"""

from collections import Counter
from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from textvae.decode.rows import FinishedRow, Row
from textvae.engine.answers import Axes
from textvae.engine.load import LoadedVersion
from textvae.text.sentence import normalise


class Judge(NamedTuple):
    """What judges candidates: the version's own networks."""

    loaded: LoadedVersion
    owner: object
    begin: int
    """The decoder's first token: what the candidates were written by."""
    tokens_max: int

    def axes(
        self,
        sentences: tuple[str, ...],
        ids: list[list[int]],
        mean: np.ndarray,
        tokens: list[tuple[int, ...]],
    ) -> Generator[list[Row] | None, list[FinishedRow], tuple[list[Axes], np.ndarray]]:
        """Return the axes of every candidate, and the nats a token of every source.

        -log p(y|x) is that of the candidate y under the posterior mean of the source x, and
        -log p(x|y) the other way round; those of the language model are -log p(y) and -log p(x).
        """
        loaded, each = self.loaded, len(tokens) // len(ids)
        sources = np.repeat(np.arange(len(ids)), each)
        # Candidates repeat each other; each is judged once.
        pairs = list(zip(sources.tolist(), tokens, strict=True))
        different = list(dict.fromkeys(pairs))
        candidates = [list(written) for _, written in different]
        prior = yield from loaded.language_model_nats([*ids, *candidates])
        source_nats, candidate_nats = prior[: len(ids)], prior[len(ids) :]
        candidate_mean, _ = yield from loaded.encoding(candidates)
        written = [self._row(mean[source], target) for source, target in different]
        read = [
            self._row(latent, tuple(ids[source]))
            for latent, (source, _) in zip(candidate_mean, different, strict=True)
        ]
        rows = [row._replace(number=number) for number, row in enumerate([*written, *read])]
        scored = yield rows
        given = -np.array([row.log_prob for row in scored]).reshape(2, -1)
        source_lengths = np.array([len(one) + 1 for one in ids])
        found = {}
        for index, (source, target) in enumerate(different):
            length, source_length = len(target) + 1, int(source_lengths[source])
            gains = (
                float(source_nats[source] - given[1, index]),
                source_length,
                float(candidate_nats[index] - given[0, index]),
                length,
            )
            text = loaded.tokenizer.decode([target])[0]
            new = new_shares(text, normalise(sentences[source]))
            fluency = float(candidate_nats[index]) / length
            found[source, target] = Axes(adequacy(*gains), fluency, *new)
        return [found[pair] for pair in pairs], source_nats / source_lengths

    def _row(self, latent: np.ndarray, targets: tuple[int, ...]) -> Row:
        """Return a row that scores `targets`."""
        return Row(self.owner, 0, latent, self.tokens_max, targets=targets, begin=self.begin)


def adequacy(
    source_gain_nats: float, source_tokens: int, candidate_gain_nats: float, candidate_tokens: int
) -> float:
    """Return the adequacy of a candidate from what each makes the other likelier, in nats; tokens
    count the end."""
    gains = (source_gain_nats / source_tokens, candidate_gain_nats / candidate_tokens)
    return max(0.0, sum(gains) / 2)


def new_shares(text: str, source: str) -> tuple[float, float]:
    """Return the shares of words and of bigrams of a text that the source does not have."""
    shares = []
    for length in (1, 2):
        own, known = _ngrams(text, length), _ngrams(source, length)
        total = sum(own.values())
        new = sum(count for ngram, count in own.items() if ngram not in known)
        shares.append(new / total if total else 0.0)
    return shares[0], shares[1]


def _ngrams(text: str, length: int) -> Counter[tuple[str, ...]]:
    """Return the n-grams of words, without case; bigrams know the ends of the sentence."""
    words = text.casefold().split()
    if length > 1:
        words = ["", *words, ""]
    return Counter(zip(*(words[start:] for start in range(length)), strict=False))
