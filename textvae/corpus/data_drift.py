"""Drift: whether new text is other text than that of the newest spans, and in what.

Four figures of a sentence that need no model are compared by two-sample Kolmogorov-Smirnov tests:
words, characters, and the shares of words and characters that the earlier text does not have. What
is new is told by one half of the earlier sentences; the other half says how much was new before.
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

# As many on each side: a difference of 0.03 is then significant, far below what is worth a word.
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
    kept: Mapping[Side, Sequence[Sentence]], spans: Path, count: int
) -> dict[str, Any] | None:
    """How new sentences differ from those of the last `count` spans; None where none are."""
    names = list_spans(spans)[-count:] if count else []
    if not names:
        return None
    earlier = load_spans(spans, names)
    before = drawn_texts([earlier.train, earlier.valid, earlier.test], SENTENCES_MAX)
    now = drawn_texts([kept[side] for side in SIDES], SENTENCES_MAX)
    if len(before) < 2:
        return None
    return {"spans": len(names), **drift(before, now)}


def drawn_texts(sequences: Sequence[Sequence[Sentence]], count: int) -> list[str]:
    """At most `count` texts, in a random order that is the same every time, of all these sentences.

    A hash of its place decides whether a sentence is among them, so that the others are not read.
    """
    firsts = np.cumsum([0, *map(len, sequences)])
    places = np.argsort(_scatter(np.arange(firsts[-1], dtype=np.uint64)))[:count]
    which = np.searchsorted(firsts, places, side="right") - 1
    return [
        sequences[number][int(place - firsts[number])].text
        for number, place in zip(which, places, strict=True)
    ]


def drift(before: Sequence[str], now: Sequence[str]) -> dict[str, Any]:
    """For each figure of a sentence how it differs between two samples of at least 2 and 1 texts.

    The order of `before` must be random, since its halves are compared.
    """
    half = len(before) // 2
    learned, held = before[:half], before[half:]
    letters = Letters()
    words = {word for text in learned for word in words_of(text, letters)}
    characters = set("".join(learned))
    old, new = (figures_of(texts, words, characters) for texts in (held, now))
    return {name: compare_samples(old[name], new[name]) for name in old}


def figures_of(texts: Sequence[str], words: set[str], characters: set[str]) -> dict[str, Sample]:
    """The four figures of each text; shares are of what is not among these words and characters."""
    letters = Letters()
    split = [words_of(text, letters) for text in texts]
    return {
        "words": np.array([len(text.split()) for text in texts], float),
        "characters": np.array([len(text) for text in texts], float),
        "new_words": np.array([_share_outside(row, words) for row in split]),
        "new_characters": np.array([_share_outside(text, characters) for text in texts]),
    }


def words_of(text: str, letters: Letters) -> list[str]:
    """The words of a sentence in lower case, of letters alone: a number is hardly ever known."""
    return text.lower().translate(letters).split()


def compare_samples(before: Sample, now: Sample) -> dict[str, Any]:
    """Mean and median of two samples of a figure, and the two-sample Kolmogorov-Smirnov test.

    `drifted` where the distributions differ by more than 0.1, and not by chance (p under 0.001).
    """
    # A second of imports, which an ingest without earlier spans need not wait for.
    from scipy.stats import ks_2samp

    test = ks_2samp(before, now, method="asymp")
    figures = {
        name: {"mean": float(np.mean(sample)), "median": float(np.median(sample))}
        for name, sample in (("before", before), ("now", now))
    }
    distance, p = float(test.statistic), float(test.pvalue)
    return {**figures, "ks": distance, "p": p, "drifted": distance > KS_MIN and p < P_MAX}


def drift_lines(found: Mapping[str, Any] | None) -> list[str]:
    """What drifted, in plain words; nothing where nothing was compared."""
    if found is None:
        return []
    lines = [_line(name, found[name]) for name in UNITS if found[name]["drifted"]] or [
        "none against the newest " + ("span" if found["spans"] == 1 else f"{found['spans']} spans")
    ]
    return [f"drift          {line}" for line in lines]


def _line(name: str, test: Mapping[str, Any]) -> str:
    """`sentences are longer than before: median 14 against 9 words, KS 0.31, p < 0.001`."""
    words, (more, less), unit = UNITS[name]
    # Most sentences have nothing new, so a median would say nothing of the shares.
    kind, scale, digits = ("mean", 100, ".1f") if unit == "%" else ("median", 1, "g")
    before, now = (scale * test[when][kind] for when in ("before", "now"))
    if before == now:
        kind = "mean"
        before, now, digits = test["before"][kind], test["now"][kind], ".1f"
    said = words.format(more if now > before else less)
    figures = f"{kind} {now:{digits}} against {before:{digits}} {unit}"
    return f"{said}: {figures}, KS {test['ks']:.2f}, p < {P_MAX}"


def _share_outside(parts: Iterable[str], known: set[str]) -> float:
    """Share of the parts that are not known; 0 of none."""
    news = [part not in known for part in parts]
    return sum(news) / len(news) if news else 0.0


def _scatter(places: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each place as a number that looks drawn: the finaliser of SplitMix64."""
    mixed = places * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
