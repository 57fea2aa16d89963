"""Candidates of a paraphrase: judged on three axes, and chosen.

Adequacy asks how much source and candidate say of each other, fluency how likely the candidate is
as a sentence, novelty how little of the source it repeats. A copy is as adequate as can be and not
novel; a sentence about something else is novel and not adequate.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from textvae.text.sentence import letters

Reason = Literal["copy", "repeat", "not-adequate", "not-fluent", "not-novel", "length"]

# Weights of the choice. Tuned on the captions' validation side; see textvae/evaluation/README.md.
ADEQUACY, NOVELTY = 2.0, 2.0
# What a candidate loses that shares all its words with one that is chosen already (maximal marginal
# relevance, Carbonell & Goldstein 1998).
REPETITION = 0.5


class Axes(NamedTuple):
    """What a candidate is judged by."""

    adequacy: float
    """Nats a token by which source and candidate make each other likelier than the language model
    does: the mean of both directions (Li et al. 2016); 0 where neither says anything of the other,
    and never less."""
    fluency: float
    """Nats a token, the end counted, under the language model; lower is more fluent."""
    new_words: float
    """Share of its words that the source does not have, 0 to 1."""
    new_bigrams: float
    """Share of its pairs of adjacent words, both ends counted, that the source does not have."""

    @property
    def novelty(self) -> float:
        """Return the mean of the two shares."""
        return (self.new_words + self.new_bigrams) / 2


class Bounds(NamedTuple):
    """What a candidate must reach to be chosen."""

    adequacy_min: float = 0.0
    fluency_max: float = np.inf
    novelty_min: float = 0.0


class Candidate(NamedTuple):
    """A sentence that was drawn, and its axes."""

    index: int
    """Its number among all that were drawn for the source."""
    text: str
    ended: bool
    """False where the token limit cut it."""
    axes: Axes


class Choice(NamedTuple):
    """The candidates that are returned, and why there are not more."""

    chosen: list[Candidate]
    """The best first."""
    missing: list[Reason]
    """One for each that is missing: why the best of the others were rejected."""


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


def score(axes: Axes, closeness: float) -> float:
    """Return how good a candidate is: closeness 1 asks for adequacy alone, 0 for novelty alone;
    fluency counts for any."""
    return (
        ADEQUACY * closeness * axes.adequacy
        + NOVELTY * (1 - closeness) * axes.novelty
        - axes.fluency
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
    ranked = sorted(candidates, key=lambda one: (-score(one.axes, closeness), one.index))
    rejected: list[Reason] = []
    seen = set[str]()
    possible = []
    for one in ranked:
        reason = _reason(one, source, seen, bounds)
        if reason:
            rejected.append(reason)
        else:
            seen.add(_letters_of(one.text))
            possible.append(one)
    chosen: list[Candidate] = []
    words = [set(one.text.casefold().split()) for one in possible]
    shared = np.zeros(len(possible))
    values = np.array([score(one.axes, closeness) for one in possible])
    while len(chosen) < count and len(chosen) < len(possible):
        best = int(np.argmax(values - REPETITION * shared))
        chosen.append(possible[best])
        values[best] = -np.inf
        overlap = [len(own & words[best]) / max(len(own | words[best]), 1) for own in words]
        shared = np.maximum(shared, overlap)
    missing = count - len(chosen)
    return Choice(chosen, rejected[:missing])


def _letters_of(text: str) -> str:
    """Return the letters of a text; of one that has none, such as a number, the text itself."""
    return letters(text) or text.strip()


def _reason(one: Candidate, source: str, seen: set[str], bounds: Bounds) -> Reason | None:
    """Return why a candidate is rejected; None where it is not."""
    own = _letters_of(one.text)
    if not one.ended or not own:
        return "length"
    if own == _letters_of(source):
        return "copy"
    if own in seen:
        return "repeat"
    if one.axes.adequacy < bounds.adequacy_min:
        return "not-adequate"
    if one.axes.fluency > bounds.fluency_max:
        return "not-fluent"
    if one.axes.novelty < bounds.novelty_min:
        return "not-novel"
    return None
