"""The axes that candidates of a paraphrase are judged on, by the version's own networks.

Adequacy asks how much source and candidate say of each other, fluency how likely the candidate is
as a sentence, novelty how little of the source it repeats. A copy is as adequate as can be and not
novel; a sentence about something else is novel and not adequate.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from textvae.decode.rows import Row
from textvae.engine.answers import Axes
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Steps
from textvae.text.ngrams import ngrams
from textvae.text.sentence import normalise

Pair = tuple[int, tuple[int, ...]]
"""The number of a source and the tokens of a candidate of it."""


class Sources(NamedTuple):
    """The sentences that candidates are judged against."""

    sentences: tuple[str, ...]
    ids: list[list[int]]
    mean: np.ndarray
    """(sentences, latent) posterior means."""
    nats: np.ndarray
    """(sentences,) -log p(x) under the language model, ends included."""


class Judge(NamedTuple):
    """What judges candidates: the version's own networks."""

    loaded: LoadedVersion
    owner: object
    begin: int
    """The decoder's first token: what the candidates were written by."""
    tokens_max: int

    def axes(self, sources: Sources, candidates: Iterable[Pair]) -> Steps[dict[Pair, Axes]]:
        """Return the axes of candidates, each different one judged once.

        -log p(y|x) is that of the candidate y under the posterior mean of the source x, and
        -log p(x|y) the other way round; those of the language model are -log p(y) and -log p(x).
        """
        loaded, ids = self.loaded, sources.ids
        pairs = list(dict.fromkeys(candidates))
        targets = [list(written) for _, written in pairs]
        candidate_nats = yield from loaded.language_model_nats(targets)
        candidate_mean, _ = yield from loaded.encoding(targets)
        written = [self._row(sources.mean[source], target) for source, target in pairs]
        read = [
            self._row(latent, tuple(ids[source]))
            for latent, (source, _) in zip(candidate_mean, pairs, strict=True)
        ]
        rows = [row._replace(number=number) for number, row in enumerate([*written, *read])]
        scored = yield rows
        given = -np.array([row.log_prob for row in scored]).reshape(2, -1)
        texts = loaded.tokenizer.decode(targets)
        found = {}
        for index, ((source, target), text) in enumerate(zip(pairs, texts, strict=True)):
            length = len(target) + 1
            gains = (
                float(sources.nats[source] - given[1, index]),
                len(ids[source]) + 1,
                float(candidate_nats[index] - given[0, index]),
                length,
            )
            new = new_shares(text, normalise(sources.sentences[source]))
            fluency = float(candidate_nats[index]) / length
            near = cosine(sources.mean[source], candidate_mean[index])
            found[source, target] = Axes(adequacy(*gains), fluency, *new, near)
        return found

    def _row(self, latent: np.ndarray, targets: tuple[int, ...]) -> Row:
        """Return a row that scores `targets`."""
        return Row(self.owner, 0, latent, self.tokens_max, targets=targets, begin=self.begin)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """(latent,) twice -> the cosine of their angle, 0 where one is 0."""
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.vdot(one, other)) / lengths if lengths else 0.0


def adequacy(
    source_gain_nats: float, source_tokens: int, candidate_gain_nats: float, candidate_tokens: int
) -> float:
    """Return the adequacy of a candidate from what each makes the other likelier, in nats; tokens
    count the end."""
    gains = (source_gain_nats / source_tokens, candidate_gain_nats / candidate_tokens)
    return sum(gains) / 2


def new_shares(text: str, source: str) -> tuple[float, float]:
    """Return the shares of words and of bigrams of a text that the source does not have."""
    shares = []
    for length in (1, 2):
        own, known = ngrams(text, length), ngrams(source, length)
        total = sum(own.values())
        new = sum(count for ngram, count in own.items() if ngram not in known)
        shares.append(new / total if total else 0.0)
    return shares[0], shares[1]
