"""What the doctor makes of figures: each one sick alone, missing, or at its limit."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from textvae.evaluation.diagnosis import FATAL, diagnose
from textvae.model.collapse import SHUFFLE_NATS_MIN

FIGURES: dict[str, Any] = {
    "sentences": 1000,
    "shuffle_nats": 30.0,
    "kl_nats": 9.0,
    "language_model_nats": 11.0,
    "reconstruction_nats": 3.0,
    "mutual_information_nats": 6.0,
    "mutual_information_nats_max": 6.9,
    "aggregate_kl_nats": 3.0,
    "active_units": 12,
    "latent": 16,
    "kl_nats_by_dimension": [0.75] * 12 + [0.0] * 4,
    "reconstruction_valid_share": 0.99,
    "segment_valid_share": 0.95,
    "segment_perplexity_ratio": 1.0,
    "draws_valid_share_standard": 0.95,
    "draws_perplexity_ratio_standard": 1.1,
    "distinct_share_standard": 0.97,
    "draws_valid_share_fitted": 0.97,
    "draws_perplexity_ratio_fitted": 1.0,
    "distinct_share_fitted": 0.98,
}
JUDGED = sorted(set(FIGURES) - {"sentences", "aggregate_kl_nats"})


def test_figures_without_fault_are_healthy_without_a_remedy() -> None:
    said = diagnose(FIGURES)
    assert (said.verdict, said.healthy, said.fatal, said.remedies) == ("healthy", True, False, [])


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"shuffle_nats": 0.1}, "decoder-ignores-latent", "shuffle_nats, at least 1"),
        ({"shuffle_nats": 0.1, "kl_nats": 0.2}, "collapsed", "kl_nats, at least 1"),
        ({"shuffle_nats": 0.1, "active_units": 0}, "collapsed", "shuffle_nats, at least 1"),
        (
            {"kl_nats": 0.9, "mutual_information_nats": 0.8},
            "under-informed",
            "(kl_nats), at least 1",
        ),
        ({"reconstruction_nats": 7.0}, "under-informed", "language_model_nats - "),
        ({"kl_nats": 30.0}, "over-coded", "a sentence has no more than 11.0"),
        ({"mutual_information_nats": 2.0}, "under-informed", "where 6.90 are possible"),
        ({"mutual_information_nats": 8.0}, "unmeasured", "the estimate cannot be right"),
        ({"reconstruction_valid_share": 0.7}, "poor-decoder", "reconstruction_valid_share"),
        ({"segment_valid_share": 0.7}, "holes", "segment_valid_share, at least 80%"),
        ({"segment_perplexity_ratio": 1.6}, "holes", "segment_perplexity_ratio, at most 1.5"),
        ({"draws_valid_share_fitted": 0.7}, "holes", "draws from the fitted prior have holes"),
        ({"distinct_share_fitted": 0.4}, "holes", "distinct_share_fitted, at least 50%"),
    ],
)
def test_a_sick_figure_is_named_with_its_limit_and_gets_a_remedy(
    changes: Mapping[str, Any], verdict: str, words: str
) -> None:
    said = diagnose({**FIGURES, **changes})
    assert (said.verdict, said.healthy) == (verdict, False)
    assert said.fatal == (verdict in FATAL)
    assert words in said.findings[0]
    assert said.remedies


@pytest.mark.parametrize("name", JUDGED)
def test_a_figure_that_is_missing_or_no_number_is_not_healthy(name: str) -> None:
    without = {other: value for other, value in FIGURES.items() if other != name}
    for figures in (without, {**FIGURES, name: math.nan}, {**FIGURES, name: None}):
        said = diagnose(figures)
        assert not said.healthy
        assert name in " ".join(said.findings)
        assert said.fatal == (name == "shuffle_nats")
    assert not diagnose({}).healthy


def test_the_doctor_and_the_watchdog_draw_the_line_at_the_same_place() -> None:
    assert diagnose({**FIGURES, "shuffle_nats": SHUFFLE_NATS_MIN}).healthy
    below = float(np.nextafter(SHUFFLE_NATS_MIN, 0))
    assert diagnose({**FIGURES, "shuffle_nats": below}).fatal


def test_holes_under_the_standard_prior_are_a_warning_where_the_fitted_one_has_none() -> None:
    holes = {**FIGURES, "draws_valid_share_standard": 0.4}
    said = diagnose(holes)
    assert said.healthy
    assert "draws from the standard prior have holes: 40%" in said.findings[-1]
    assert said.remedies == ["sample from the fitted prior, which has none (prior = 'fitted')"]
    alone = {name: value for name, value in holes.items() if not name.endswith("_fitted")}
    assert diagnose(alone).verdict == "holes"
    assert "fit a prior" in diagnose(alone).remedies[0]
    both = diagnose({**holes, "draws_valid_share_fitted": 0.4})
    assert both.verdict == "holes"
    assert not any("sample from" in remedy for remedy in both.remedies)


def test_the_severest_finding_is_the_verdict_and_the_others_are_told() -> None:
    said = diagnose({**FIGURES, "segment_valid_share": 0.1, "reconstruction_nats": 8.0})
    assert said.verdict == "under-informed"
    assert len(said.findings) == 2
    assert "segment_valid_share" in said.findings[1]
    half = diagnose({**FIGURES, "segment_valid_share": None, "draws_valid_share_fitted": 0.1})
    assert half.verdict == "unmeasured"
    assert "draws_valid_share_fitted" in half.findings[1]


def test_a_wasteful_space_is_a_warning_only() -> None:
    row = {"active_units": 3, "kl_nats_by_dimension": [6.0, 2.0, 1.0] + [0.0] * 13}
    said = diagnose({**FIGURES, **row})
    assert said.healthy
    assert "3 of 16 units are active" in said.findings[-2]
    assert "one dimension carries 6.0 of 9.0 nats" in said.findings[-1]
