"""The paired test: its bound against other software, and the power of the sizes that it names."""

import math

import numpy as np
import pytest
from scipy import stats

from textvae.release.paired_test import (
    Comparison,
    compare_pairs,
    detectable_nats,
    sentences_needed,
)


def test_a_bound_is_that_of_the_paired_t_test() -> None:
    random = np.random.default_rng(3)
    for count in (2, 3, 10, 300):
        candidate, champion = random.normal(-38, 4, count), random.normal(-40, 4, count)
        found = compare_pairs(list(candidate), list(champion))
        test = stats.ttest_rel(candidate, champion, alternative="greater")
        assert found.bound_nats == pytest.approx(test.confidence_interval(0.95).low)
        assert found.sentences == count
        assert found.candidate_elbo_nats == pytest.approx(candidate.mean())
        assert found.champion_elbo_nats == pytest.approx(champion.mean())
        assert found.better_nats == pytest.approx(candidate.mean() - champion.mean())
        assert found.spread_nats == pytest.approx((candidate - champion).std(ddof=1))


def test_sizes_are_those_of_the_normal_distribution() -> None:
    for power, quantile in ((0.8, 0.841621), (0.9, 1.281552)):
        steps = 1.644854 + quantile
        needed = sentences_needed(3.0, 0.125, power)
        assert needed == math.ceil((steps * 24) ** 2)
        comparison = Comparison(2500, -40.0, -40.0, 0.0, 3.0, -0.1)
        assert detectable_nats(comparison, power) == pytest.approx(steps * 3 / 50, rel=1e-5)
    assert sentences_needed(0.0, 0.1, 0.8) == 2, "fewer have no bound"
    assert sentences_needed(0.1, 0.1, 0.8) == 7
    for spread, margin in ((3.0, 0.0), (3.0, -0.1), (math.inf, 0.1), (math.nan, 0.1)):
        assert sentences_needed(spread, margin, 0.8) is None
    assert sentences_needed(3.0, math.nan, 0.8) is None


def test_the_sizes_that_a_decision_names_have_the_power_that_it_names() -> None:
    """Equal versions pass the margin 8 times in 10, and a real improvement shows as often."""
    random = np.random.default_rng(0)
    count = sentences_needed(3.0, 0.5, 0.8)
    assert count is not None
    champion = np.full(count, -40.0)
    equal = [compare_pairs(champion + random.normal(0, 3, count), champion) for _ in range(2000)]
    passed = np.mean([one.bound_nats >= -0.5 for one in equal])
    assert passed == pytest.approx(0.8, abs=0.03)
    step = detectable_nats(equal[0]._replace(spread_nats=3.0), 0.8)
    better = [
        compare_pairs(champion + random.normal(step, 3, count), champion) for _ in range(2000)
    ]
    assert np.mean([one.bound_nats > 0 for one in better]) == pytest.approx(0.8, abs=0.03)


def test_a_few_sentences_pass_by_chance_no_more_often_than_many() -> None:
    """With the normal distribution's quantile five sentences would pass 9 times in 100."""
    random = np.random.default_rng(1)
    for count in (3, 5, 10):
        draws = random.normal(0, 3, (10_000, count))
        passed = np.mean([compare_pairs(row, np.zeros(count)).bound_nats > 0 for row in draws])
        assert passed == pytest.approx(0.05, abs=0.008)
