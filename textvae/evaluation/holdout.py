"""Which held-out sentences decide, and which never do.

The holdout and the sealed set are frozen: they fill up with the test side of the oldest spans and
then stay as they are, whatever is ingested. The hash of a sentence's group (or of its text) seals
it, so that no group is half sealed, but for labels that are groups: these are on all sides, and
both sets shall have them.
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
"""Points on the path between two held-out sentences, the ends counted (Bowman et al. 2016)."""


class FrozenSets(NamedTuple):
    """Two sets of the test side that share no sentence."""

    holdout: list[Sentence]
    """Sentences that figures are made of, and that a candidate must not be worse on."""
    sealed: list[Sentence]
    """Sentences that decide nothing."""


def frozen_sets(spans: Path, sealed_share: float, sentences_max: int) -> FrozenSets:
    """Return the holdout and the sealed set, each of at most `sentences_max` sentences (0: all).

    A smaller set is the beginning of a larger one. Raises CorruptError that names a file of a span
    whose content has changed.
    """
    sets = FrozenSets([], [])
    for name in list_spans(spans):
        sides: tuple[list[Sentence], list[Sentence]] = ([], [])
        for row in load_spans(spans, [name]).test:
            sides[is_sealed(row, sealed_share)].append(row)
        for chosen, rows in zip(sets, sides, strict=True):
            if not sentences_max or len(chosen) < sentences_max:
                missing = sentences_max - len(chosen) if sentences_max else 0
                chosen += first_by_hash(rows, missing)
        used = sets if sealed_share else sets[:1]
        if sentences_max and min(map(len, used)) >= sentences_max:
            break
    return sets


def frozen_groups(spans: Path, sealed_share: float, groups_max: int) -> list[list[Sentence]]:
    """Return the first `groups_max` groups of two or more sentences of the test side that are not
    sealed, oldest spans first, by hash.

    Of a group that grows in later spans the sentences of its first are taken, so that what is
    chosen stays as it is. Raises CorruptError as `frozen_sets`.
    """
    chosen: dict[str, list[Sentence]] = {}
    for name in list_spans(spans) if groups_max else []:
        groups: dict[str, list[Sentence]] = {}
        for row in load_spans(spans, [name]).test:
            if row.group and row.group not in chosen and not is_sealed(row, sealed_share):
                groups.setdefault(row.group, []).append(row)
        new = sorted((group for group, rows in groups.items() if len(rows) > 1), key=digest)
        chosen |= {group: groups[group] for group in new[: groups_max - len(chosen)]}
        if len(chosen) >= groups_max:
            break
    return list(chosen.values())


def newest_set(
    spans: Path, learned: Collection[str], sealed_share: float, config: GateConfig
) -> list[str]:
    """Return held-out sentences of the spans that are none of `learned`; of the newest if all are.

    So the text of runs that end without a promotion adds up, until there is enough to decide by.
    Sealed sentences are left out; the validation side is added where `newest_valid` is set.
    """
    existing = list_spans(spans)
    names = [name for name in existing if name not in learned] or existing[-1:]
    if not names:
        return []
    corpus = load_spans(spans, names)
    rows = [row for row in corpus.test if not is_sealed(row, sealed_share)]
    rows += corpus.valid if config.newest_valid else []
    return first_texts_by_hash(rows, config.sentences)


def is_sealed(row: Sentence, share: float) -> bool:
    """Return whether a sentence of the test side belongs to the share that never decides."""
    key = row.text if row.group == row.label else row.group or row.text
    quantile = int(digest(f"sealed {key}")[:16], 16) / 2**64  # 0 to 1
    return quantile < share


def first_texts_by_hash(sentences: Sequence[Sentence], count: int) -> list[str]:
    """Return the first `count` texts by hash (0: all): mostly the same ones, whatever is added."""
    return [row.text for row in first_by_hash(sentences, count)]


def first_by_hash(sentences: Sequence[Sentence], count: int) -> list[Sentence]:
    """Return the first `count` sentences by hash (0: all), with label and group."""
    rows = sorted(sentences, key=lambda row: digest(row.text))
    return rows[:count] if count else rows


def draw_pairs(sentences: Sequence[str], pairs: int, seed: int) -> list[tuple[str, str]]:
    """Draw pairs of different sentences; a sentence may be in more than one pair.

    Raises DataError unless there are two different sentences.
    """
    different = list(dict.fromkeys(sentences))
    if len(different) < 2:
        raise DataError(
            f"held-out text: 2 different sentences are needed, got {len(different)}; give more "
            "text, or a larger data.test_share"
        )
    random = np.random.default_rng(seed)
    indices = [random.choice(len(different), 2, replace=False) for _ in range(pairs)]
    return [(different[first], different[last]) for first, last in indices]


def digest(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
