"""Which held-out sentences decide, and which never do.

The holdout and the sealed set are frozen: they fill up with the test side of the oldest spans and
then stay as they are, whatever is ingested. A sentence is sealed by the hash of what the split
goes by, so that no group is half sealed.
"""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textvae.config.evaluation import GateConfig
from textvae.corpus.spans import list_spans, load_spans
from textvae.errors import DataError
from textvae.text.sentence import Sentence

PATH_STEPS = 11
"""Places on the path between two held-out sentences, the ends counted (Bowman et al. 2016)."""


class FrozenSets(NamedTuple):
    """Two sets of the test side that share no sentence."""

    holdout: list[Sentence]
    """What figures are made of, and what a candidate must not be worse on."""
    sealed: list[Sentence]
    """What nothing is decided by."""


def frozen_sets(spans: Path, sealed_share: float, most: int) -> FrozenSets:
    """The holdout and the sealed set, each of `most` sentences (0, or fewer: all there are).

    Fewer are the first of more. CorruptError names a file of a span that is not what it was.
    """
    sets = FrozenSets([], [])
    for name in list_spans(spans):
        sides: tuple[list[Sentence], list[Sentence]] = ([], [])
        for row in load_spans(spans, [name]).test:
            sides[is_sealed(row, sealed_share)].append(row)
        for chosen, rows in zip(sets, sides, strict=True):
            if not most or len(chosen) < most:
                chosen += first_by_hash(rows, most - len(chosen) if most else 0)
        asked = sets if sealed_share else sets[:1]
        if most and min(map(len, asked)) >= most:
            break
    return sets


def newest_set(
    spans: Path, learned: Collection[str], sealed_share: float, config: GateConfig
) -> list[str]:
    """Held-out sentences of the spans that are none of `learned`; of the newest span if all are.

    So nights that end without a promotion add up, until there is text enough to tell. Nothing that
    is sealed; the validation side too where the settings say so.
    """
    there = list_spans(spans)
    names = [name for name in there if name not in learned] or there[-1:]
    if not names:
        return []
    corpus = load_spans(spans, names)
    rows = [row for row in corpus.test if not is_sealed(row, sealed_share)]
    rows += corpus.valid if config.newest_valid else []
    return first_texts_by_hash(rows, config.sentences)


def is_sealed(row: Sentence, share: float) -> bool:
    """Whether a sentence of the test side is of the share that decides nothing; so for ever."""
    place = int(digest(f"sealed {row.group or row.text}")[:16], 16) / 2**64  # 0 to 1
    return place < share


def first_texts_by_hash(sentences: Sequence[Sentence], count: int) -> list[str]:
    """The first `count` sentences by hash (0: all): mostly the same ones, whatever is added."""
    return [row.text for row in first_by_hash(sentences, count)]


def first_by_hash(sentences: Sequence[Sentence], count: int) -> list[Sentence]:
    """As `first_texts_by_hash`, whole rows."""
    rows = sorted(sentences, key=lambda row: digest(row.text))
    return rows[:count] if count else rows


def draw_pairs(sentences: Sequence[str], pairs: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of different sentences; a sentence may stand in more than one pair."""
    different = list(dict.fromkeys(sentences))
    if len(different) < 2:
        raise DataError(f"held-out text: 2 different sentences are needed, got {len(different)}")
    random = np.random.default_rng(seed)
    places = [random.choice(len(different), 2, replace=False) for _ in range(pairs)]
    return [(different[first], different[last]) for first, last in places]


def digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
