"""Drift: whether new text differs from that of the newest spans, and in which figures.

Two-sample Kolmogorov-Smirnov tests compare four figures of a sentence that need no model: words,
characters, and the shares of words and characters that the earlier text does not have. One half of
the earlier sentences is the vocabulary; the other half says how much was new before.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textvae.corpus.filters import Letters
from textvae.corpus.spans import list_spans, load_spans
from textvae.corpus.split import SIDES, Side
from textvae.text.sentence import Sentence

# As many on each side: a difference of 0.03 is then significant, far below KS_MIN.
SENTENCES_MAX = 20_000
KS_MIN, P_MAX = 0.1, 0.001

Sample = npt.NDArray[np.float64]

UNITS = {
    "words": ("sentences are {} than before", ("longer", "shorter"), "words"),
    "characters": ("sentences are {} than before", ("longer", "shorter"), "characters"),
    "new_words": ("{} words than before are new", ("more", "fewer"), "%"),
    "new_characters": ("{} characters than before are new", ("more", "fewer"), "%"),
}


def drift_from_last(
    sentences: Mapping[Side, Sequence[Sentence]], spans: Path, count: int
) -> dict[str, Any] | None:
    """Return how new sentences differ from those of the last `count` spans; None without any."""
    names = list_spans(spans)[-count:] if count else []
    if not names:
        return None
    earlier = load_spans(spans, names)
    before = draw_texts([earlier.train, earlier.valid, earlier.test], SENTENCES_MAX)
    now = draw_texts([sentences[side] for side in SIDES], SENTENCES_MAX)
    if len(before) < 2:
        return None
    return {"spans": len(names), **drift(before, now)}


def draw_texts(sequences: Sequence[Sequence[Sentence]], count: int) -> list[str]:
    """Return at most `count` texts of all these sentences, in a fixed random order.

    A hash of its position decides whether a sentence is among them; the others are not read.
    """
    firsts = np.cumsum([0, *map(len, sequences)])
    positions = np.argsort(_scatter(np.arange(firsts[-1], dtype=np.uint64)))[:count]
    numbers = np.searchsorted(firsts, positions, side="right") - 1
    return [
        sequences[number][int(position - firsts[number])].text
        for number, position in zip(numbers, positions, strict=True)
    ]


def drift(before: Sequence[str], now: Sequence[str]) -> dict[str, Any]:
    """Return how each figure differs between two samples of at least 2 and 1 texts.

    The order of `before` must be random, since its halves have different roles.
    """
    half = len(before) // 2
    reference, baseline = before[:half], before[half:]
    letters = Letters()
    words = {word for text in reference for word in words_of(text, letters)}
    characters = set("".join(reference))
    old, new = (figures_of(texts, words, characters) for texts in (baseline, now))
    return {name: compare_samples(old[name], new[name]) for name in old}


def figures_of(texts: Sequence[str], words: set[str], characters: set[str]) -> dict[str, Sample]:
    """Return the four figures of each text; the shares are those outside `words`, `characters`."""
    letters = Letters()
    split = [words_of(text, letters) for text in texts]
    return {
        "words": np.array([len(text.split()) for text in texts], float),
        "characters": np.array([len(text) for text in texts], float),
        "new_words": np.array([_share_outside(row, words) for row in split]),
        "new_characters": np.array([_share_outside(text, characters) for text in texts]),
    }


def words_of(text: str, letters: Letters) -> list[str]:
    """Return the words of a sentence in lower case, of letters alone: most numbers are new."""
    return text.lower().translate(letters).split()


def compare_samples(before: Sample, now: Sample) -> dict[str, Any]:
    """Return mean and median of two samples, and their two-sample Kolmogorov-Smirnov test.

    `drifted` where the distributions differ by more than 0.1, and not by chance (p under 0.001).
    """
    # Takes a second to import, which an ingest without earlier spans does not need.
    from scipy.stats import ks_2samp

    test = ks_2samp(before, now, method="asymp")
    figures = {
        name: {"mean": float(np.mean(sample)), "median": float(np.median(sample))}
        for name, sample in (("before", before), ("now", now))
    }
    distance, p = float(test.statistic), float(test.pvalue)
    return {**figures, "ks": distance, "p": p, "drifted": distance > KS_MIN and p < P_MAX}


def drift_lines(record: Mapping[str, Any] | None) -> list[str]:
    """Return what drifted, in words; no line without a record."""
    if record is None:
        return []
    lines = [_line(name, record[name]) for name in UNITS if record[name]["drifted"]] or [
        "none against the newest "
        + ("span" if record["spans"] == 1 else f"{record['spans']} spans")
    ]
    return [f"drift          {line}" for line in lines]


def _line(name: str, test: Mapping[str, Any]) -> str:
    """Return `sentences are longer than before: median 14 against 9 words, KS 0.31, p < 0.001`."""
    words, (more, less), unit = UNITS[name]
    # Most sentences have nothing new, so the median share would be 0.
    kind, scale, digits = ("mean", 100, ".1f") if unit == "%" else ("median", 1, "g")
    before, now = (scale * test[when][kind] for when in ("before", "now"))
    if before == now:
        kind = "mean"
        before, now, digits = test["before"][kind], test["now"][kind], ".1f"
    difference = words.format(more if now > before else less)
    figures = f"{kind} {now:{digits}} against {before:{digits}} {unit}"
    return f"{difference}: {figures}, KS {test['ks']:.2f}, p < {P_MAX}"


def _share_outside(parts: Iterable[str], known: set[str]) -> float:
    """Return the share of the parts that are not known; 0 without parts."""
    are_new = [part not in known for part in parts]
    return sum(are_new) / len(are_new) if are_new else 0.0


def _scatter(positions: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return a pseudo-random number for each position: the finaliser of SplitMix64."""
    mixed = positions * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
