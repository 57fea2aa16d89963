"""The paired test of two versions on the same sentences: mean difference, bound, and power."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95
"""Confidence of every one-sided bound."""


class Comparison(NamedTuple):
    """A candidate and the version it may replace, sentence by sentence; ELBOs in nats."""

    sentences: int
    candidate_elbo_nats: float
    champion_elbo_nats: float
    better_nats: float
    """Mean of the candidate's ELBO minus the champion's."""
    spread_nats: float
    """Standard deviation of these differences over sentences; infinity for one sentence."""
    bound_nats: float
    """Lower 95 % confidence bound of the mean difference; minus infinity for one sentence."""


def compare_pairs(candidate_nats: Sequence[float], champion_nats: Sequence[float]) -> Comparison:
    """Compare the ELBOs of the same sentences, in the same order; there is at least one.

    The bound is Student's, mean - t * spread / sqrt(n) with t the 95 % quantile of n - 1 degrees of
    freedom, so that its confidence holds for ten sentences too.
    """
    champion = np.asarray(champion_nats, float)
    differences = np.asarray(candidate_nats, float) - champion
    count, mean = len(differences), float(differences.mean())
    spread, bound = math.inf, -math.inf
    if count > 1:
        spread = float(differences.std(ddof=1))
        quantile = float(stdtrit(count - 1, CONFIDENCE))
        bound = mean - quantile * spread / math.sqrt(count)
    champion_mean = float(champion.mean())
    return Comparison(count, champion_mean + mean, champion_mean, mean, spread, bound)


def sentences_needed(spread_nats: float, margin_nats: float, power: float) -> int | None:
    """Return how many sentences an equal version needs to pass this margin with this power:
    ((z(0.95) + z(power)) * spread / margin)^2, two or more; None where no number is enough."""
    if not (margin_nats > 0 and math.isfinite(spread_nats)):
        return None
    return max(2, math.ceil((_quantiles(power) * spread_nats / margin_nats) ** 2))


def detectable_nats(comparison: Comparison, power: float) -> float:
    """Return the true improvement that as many sentences show with this power:
    (z(0.95) + z(power)) * spread / sqrt(n)."""
    return _quantiles(power) * comparison.spread_nats / math.sqrt(comparison.sentences)


def _quantiles(power: float) -> float:
    """Return the standard errors between no difference and one that is shown with this power."""
    return float(ndtri(CONFIDENCE)) + float(ndtri(power))
