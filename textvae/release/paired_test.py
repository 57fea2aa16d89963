"""Two versions on the same sentences: mean difference, bound, and what a size can show."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95
"""Of every bound; one-sided."""


class Comparison(NamedTuple):
    """How a candidate did beside another version, sentence by sentence; ELBOs in nats."""

    sentences: int
    candidate_elbo_nats: float
    champion_elbo_nats: float
    better_nats: float
    """Mean of the candidate's ELBO less the champion's."""
    spread_nats: float
    """Standard deviation of these differences among sentences."""
    bound_nats: float
    """With 95 % confidence the candidate is better by at least this; minus infinity where fewer
    than two sentences tell nothing."""


def compare_pairs(candidate_nats: Sequence[float], champion_nats: Sequence[float]) -> Comparison:
    """The paired comparison of one set's ELBOs, in one order. At least one sentence.

    The bound is Student's, so that it is honest for ten sentences too.
    """
    champion = np.asarray(champion_nats, float)
    better = np.asarray(candidate_nats, float) - champion
    count = len(better)
    spread, bound = math.inf, -math.inf
    if count > 1:
        spread = float(better.std(ddof=1))
        quantile = float(stdtrit(count - 1, CONFIDENCE))
        bound = float(better.mean()) - quantile * spread / math.sqrt(count)
    theirs, mean = float(champion.mean()), float(better.mean())
    return Comparison(count, theirs + mean, theirs, mean, spread, bound)


def sentences_needed(spread_nats: float, margin_nats: float, power: float) -> int | None:
    """How many sentences let an equal version pass a bound of this margin as often as `power`.

    None where no number does.
    """
    if not (margin_nats > 0 and math.isfinite(spread_nats)):
        return None
    steps = float(ndtri(CONFIDENCE)) + float(ndtri(power))
    return max(2, math.ceil((steps * spread_nats / margin_nats) ** 2))


def shown_nats(comparison: Comparison, power: float) -> float:
    """The true improvement that as many sentences as these show as often as `power`."""
    steps = float(ndtri(CONFIDENCE)) + float(ndtri(power))
    return steps * comparison.spread_nats / math.sqrt(comparison.sentences)
