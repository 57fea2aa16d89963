"""Replay: training on all new sentences and a sample of the old ones, against forgetting."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from textvae.corpus.spans import Corpus
from textvae.text.sentence import Sentence


class Replay(NamedTuple):
    """The text of a training."""

    corpus: Corpus
    """The corpus, with the chosen sentences as its training side."""
    new: int
    """Training sentences of unknown spans."""
    old: int
    """Sampled training sentences of known spans."""
    known: int
    """All training sentences of known spans."""


class SentenceSubset(Sequence[Sentence]):
    """Some sentences of many, in their own order, read on access."""

    def __init__(self, sentences: Sequence[Sentence], indices: npt.NDArray[np.int64]) -> None:
        """`indices`: of the chosen sentences, ascending."""
        self._sentences, self._indices = sentences, indices

    def __len__(self) -> int:
        """Return the number of chosen sentences."""
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Sentence: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sentence]: ...
    def __getitem__(self, index: int | slice) -> Sentence | list[Sentence]:
        """Return the chosen sentence at an index, or those of a slice."""
        if isinstance(index, slice):
            return [self._sentences[int(number)] for number in self._indices[index]]
        return self._sentences[int(self._indices[index])]


def mix_replay(
    corpus: Corpus, known: Mapping[str, str], share: float, old_min: int, seed: int
) -> Replay:
    """Return all training sentences of the spans that are not `known`, and a sample of the others.

    `known` maps names of spans to the SHA-256 of their manifests. The sample has `share` old
    sentences for each new one, at least `old_min`, at most all; it depends on the seed and the
    spans alone. Where no span is new, all text is used.
    """
    counts = corpus.counts or (len(corpus.train),)
    assert len(counts) == len(corpus.names), "a corpus of several spans must say what each holds"
    old = np.repeat([known.get(name) == sha for name, sha in _spans(corpus)], counts)
    new_indices, old_indices = np.flatnonzero(~old), np.flatnonzero(old)
    count = max(old_min, round(share * len(new_indices)))
    if not len(new_indices) or count >= len(old_indices):
        return Replay(corpus, len(new_indices), len(old_indices), len(old_indices))
    spans = hashlib.sha256("".join(corpus.hashes).encode()).digest()
    random = np.random.default_rng([seed, int.from_bytes(spans[:8], "big")])
    sample = random.choice(old_indices, count, replace=False)
    chosen = SentenceSubset(corpus.train, np.sort(np.concatenate([sample, new_indices])))
    return Replay(corpus._replace(train=chosen), len(new_indices), count, len(old_indices))


def _spans(corpus: Corpus) -> list[tuple[str, str]]:
    """Return the name and SHA-256 of each span."""
    return list(zip(corpus.names, corpus.hashes, strict=True))
