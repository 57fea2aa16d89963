"""The choice among candidates of a paraphrase, by the axes that they are judged on."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from textvae.engine.answers import Axes
from textvae.text.sentence import letters

Reason = Literal[
    "copy", "repeat", "not-adequate", "not-fluent", "not-novel", "length", "lock-unmet", "budget"
]

Broken = Literal["length", "lock-unmet"]
"""Why a sentence is no variation whatever its axes are."""

# Weights of the choice, tuned on the validation sides of captions (two sizes; closeness 0.5) and of
# intents (closeness 1). Similarity says what a sentence is about, whatever its words; more of it at
# 0.5 brings back those of the source.
ADEQUACY, SIMILARITY, FLUENCY, NOVELTY = 6.0, 16.0, 1.0, 2.0
SIMILARITY_POWER = 4
# What a candidate loses that shares all its words with one that is chosen already (maximal marginal
# relevance, Carbonell & Goldstein 1998).
REPETITION = 0.5


class Bounds(NamedTuple):
    """What a candidate must reach to be chosen."""

    adequacy_min: float = 0.0
    """0 for any."""
    fluency_max: float = np.inf
    novelty_min: float = 0.0


class Candidate(NamedTuple):
    """A sentence that was drawn, and its axes."""

    number: int
    """Its place among all that were drawn for the source."""
    text: str
    axes: Axes
    broken: Broken | None = None
    """Cut by the token limit, or against the constraints; None where it is a variation."""
    value: float | None = None
    """How good a search found it; None: as good as its axes say."""


class Choice(NamedTuple):
    """The candidates that are returned, and why there are not more."""

    chosen: list[Candidate]
    """The best first."""
    missing: list[Reason]
    """One for each that is missing: why the best of the others were rejected; budget where there
    are no others."""


def score(axes: Axes, closeness: float) -> float:
    """Return how good a candidate is: closeness 1 asks for adequacy and similarity alone, 0 for
    novelty alone; fluency counts for any."""
    return (
        closeness * ADEQUACY * axes.adequacy
        + closeness**SIMILARITY_POWER * SIMILARITY * axes.similarity
        + NOVELTY * (1 - closeness) * axes.novelty
        - FLUENCY * axes.fluency
    )


def choose(
    source: str,
    candidates: Sequence[Candidate],
    count: int,
    closeness: float,
    bounds: Bounds,
) -> Choice:
    """Choose up to `count` candidates: never the source, never the same letters twice.

    Each choice weighs its score against the words that it shares with those chosen before.
    """
    ranked = sorted(candidates, key=lambda one: (-_value(one, closeness), one.number))
    rejected: list[Reason] = []
    seen = set[str]()
    possible = []
    for one in ranked:
        reason = _reason(one, source, seen, bounds)
        if reason:
            rejected.append(reason)
        else:
            seen.add(letters_of(one.text))
            possible.append(one)
    chosen: list[Candidate] = []
    words = [set(one.text.casefold().split()) for one in possible]
    shared = np.zeros(len(possible))
    values = np.array([_value(one, closeness) for one in possible])
    while len(chosen) < count and len(chosen) < len(possible):
        best = int(np.argmax(values - REPETITION * shared))
        chosen.append(possible[best])
        values[best] = -np.inf
        overlap = [len(own & words[best]) / max(len(own | words[best]), 1) for own in words]
        shared = np.maximum(shared, overlap)
    missing = count - len(chosen)
    rejected += ["budget"] * max(missing - len(rejected), 0)
    return Choice(chosen, rejected[:missing])


def _value(one: Candidate, closeness: float) -> float:
    """Return how good a candidate is."""
    return score(one.axes, closeness) if one.value is None else one.value


def letters_of(text: str) -> str:
    """Return the letters of a text; of one that has none, such as a number, the text itself."""
    return letters(text) or text.strip()


def _reason(one: Candidate, source: str, seen: set[str], bounds: Bounds) -> Reason | None:
    """Return why a candidate is rejected; None where it is not."""
    own = letters_of(one.text)
    if one.broken or not own:
        return one.broken or "length"
    if own == letters_of(source):
        return "copy"
    if own in seen:
        return "repeat"
    if bounds.adequacy_min and one.axes.adequacy < bounds.adequacy_min:
        return "not-adequate"
    if one.axes.fluency > bounds.fluency_max:
        return "not-fluent"
    if one.axes.novelty < bounds.novelty_min:
        return "not-novel"
    return None
