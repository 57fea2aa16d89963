"""Replay: a night learns all new sentences and a draw of the old ones, so that it forgets none."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from textvae.corpus.spans import Corpus
from textvae.text.sentence import Sentence


class Replay(NamedTuple):
    """What a night learns from."""

    corpus: Corpus
    """The whole corpus, its training side the sentences that were chosen."""
    new: int
    """Training sentences of the spans that were not known."""
    old: int
    """Those drawn from the spans that were."""
    known: int
    """Those that the draw was from."""


class SentenceSubset(Sequence[Sentence]):
    """Some sentences of many, in their own order, read when they are asked for."""

    def __init__(self, all_of_them: Sequence[Sentence], places: npt.NDArray[np.int64]) -> None:
        """`places`: which ones, ascending."""
        self._all, self._places = all_of_them, places

    def __len__(self) -> int:
        """How many were chosen."""
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Sentence: ...
    @overload
    def __getitem__(self, place: slice) -> list[Sentence]: ...
    def __getitem__(self, place: int | slice) -> Sentence | list[Sentence]:
        """The chosen sentence at a place, or those of a slice."""
        if isinstance(place, slice):
            return [self._all[int(number)] for number in self._places[place]]
        return self._all[int(self._places[place])]


def mix_replay(
    corpus: Corpus, known: Mapping[str, str], share: float, least: int, seed: int
) -> Replay:
    """All training sentences of the spans that are not `known`, and a draw of the others.

    `known` maps names of spans to the SHA-256 of their manifests. Of the old sentences `share` for
    each new one are drawn, at least `least`, as far as there are so many, by nothing but the seed
    and the spans. Where no span is new there is nothing to mix, and all text is learned from.
    """
    counts = corpus.counts or (len(corpus.train),)
    assert len(counts) == len(corpus.names), "a corpus of several spans must say what each holds"
    old = np.repeat([known.get(name) == sha for name, sha in _spans(corpus)], counts)
    new_places, old_places = np.flatnonzero(~old), np.flatnonzero(old)
    wanted = max(least, round(share * len(new_places)))
    if not len(new_places) or wanted >= len(old_places):
        return Replay(corpus, len(new_places), len(old_places), len(old_places))
    spans = hashlib.sha256("".join(corpus.hashes).encode()).digest()
    random = np.random.default_rng([seed, int.from_bytes(spans[:8], "big")])
    drawn = random.choice(old_places, wanted, replace=False)
    chosen = SentenceSubset(corpus.train, np.sort(np.concatenate([drawn, new_places])))
    return Replay(corpus._replace(train=chosen), len(new_places), wanted, len(old_places))


def _spans(corpus: Corpus) -> list[tuple[str, str]]:
    """The name and SHA-256 of each span."""
    return list(zip(corpus.names, corpus.hashes, strict=True))
