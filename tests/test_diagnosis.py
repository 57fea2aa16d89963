"""The doctor on figures: each one out of its limit alone, missing, or at its limit."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from textvae.config.evaluation import SHUFFLE_NATS_MIN
from textvae.evaluation.diagnosis import FATAL, diagnose

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
CHECKED = sorted(set(FIGURES) - {"sentences", "aggregate_kl_nats"})


def test_figures_without_fault_are_healthy_without_a_remedy() -> None:
    diagnosis = diagnose(FIGURES)
    assert (diagnosis.verdict, diagnosis.healthy, diagnosis.fatal, diagnosis.remedies) == (
        "healthy",
        True,
        False,
        [],
    )


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
        ({"segment_valid_share": 0.7}, "invalid-decodes", "segment_valid_share, at least 80%"),
        (
            {"segment_perplexity_ratio": 1.6},
            "invalid-decodes",
            "segment_perplexity_ratio, at most 1.5",
        ),
        (
            {"draws_valid_share_fitted": 0.7},
            "invalid-decodes",
            "draws from the fitted prior decode to invalid",
        ),
        ({"distinct_share_fitted": 0.4}, "invalid-decodes", "distinct_share_fitted, at least 50%"),
    ],
)
def test_a_figure_out_of_its_limit_is_named_with_it_and_gets_a_remedy(
    changes: Mapping[str, Any], verdict: str, words: str
) -> None:
    diagnosis = diagnose({**FIGURES, **changes})
    assert (diagnosis.verdict, diagnosis.healthy) == (verdict, False)
    assert diagnosis.fatal == (verdict in FATAL)
    assert words in diagnosis.findings[0]
    assert diagnosis.remedies


@pytest.mark.parametrize("name", CHECKED)
def test_a_figure_that_is_missing_or_no_number_is_not_healthy(name: str) -> None:
    without = {other: value for other, value in FIGURES.items() if other != name}
    for figures in (without, {**FIGURES, name: math.nan}, {**FIGURES, name: None}):
        diagnosis = diagnose(figures)
        assert not diagnosis.healthy
        assert name in " ".join(diagnosis.findings)
        assert diagnosis.fatal == (name == "shuffle_nats")
    assert not diagnose({}).healthy


def test_the_doctor_and_the_watchdog_have_the_same_limit() -> None:
    assert diagnose({**FIGURES, "shuffle_nats": SHUFFLE_NATS_MIN}).healthy
    below = float(np.nextafter(SHUFFLE_NATS_MIN, 0))
    assert diagnose({**FIGURES, "shuffle_nats": below}).fatal


def test_invalid_decodes_of_the_standard_prior_are_a_warning_where_the_fitted_one_has_none() -> (
    None
):
    invalid = {**FIGURES, "draws_valid_share_standard": 0.4}
    diagnosis = diagnose(invalid)
    assert diagnosis.healthy
    assert (
        "draws from the standard prior decode to invalid sentences: 40%" in diagnosis.findings[-1]
    )
    assert diagnosis.remedies == [
        "sample from the fitted prior, whose draws are valid (prior = 'fitted')"
    ]
    alone = {name: value for name, value in invalid.items() if not name.endswith("_fitted")}
    assert diagnose(alone).verdict == "invalid-decodes"
    assert "fit a prior" in diagnose(alone).remedies[0]
    both = diagnose({**invalid, "draws_valid_share_fitted": 0.4})
    assert both.verdict == "invalid-decodes"
    assert not any("sample from" in remedy for remedy in both.remedies)


def test_the_severest_finding_is_the_verdict_and_the_others_follow() -> None:
    diagnosis = diagnose({**FIGURES, "segment_valid_share": 0.1, "reconstruction_nats": 8.0})
    assert diagnosis.verdict == "under-informed"
    assert len(diagnosis.findings) == 2
    assert "segment_valid_share" in diagnosis.findings[1]
    half = diagnose({**FIGURES, "segment_valid_share": None, "draws_valid_share_fitted": 0.1})
    assert half.verdict == "unmeasured"
    assert "draws_valid_share_fitted" in half.findings[1]


def test_a_wasteful_space_is_a_warning_only() -> None:
    row = {"active_units": 3, "kl_nats_by_dimension": [6.0, 2.0, 1.0] + [0.0] * 13}
    diagnosis = diagnose({**FIGURES, **row})
    assert diagnosis.healthy
    assert "3 of 16 units are active" in diagnosis.findings[-2]
    assert "one dimension carries 6.0 of 9.0 nats" in diagnosis.findings[-1]


def test_a_healthy_version_is_told_what_its_variations_are() -> None:
    """Rephrased or drawn; nothing where it is not known."""
    assert not [words for words in diagnose(FIGURES).findings if "variations" in words]
    drawn = diagnose({**FIGURES, "siblings": 0})
    assert drawn.findings[-1] == (
        "its variations are drawn around a sentence, not rephrased: it learned from no groups of "
        "sentences that say the same (training.sibling_share)"
    )
    siblings = {**FIGURES, "siblings": 85_000}
    assert diagnose(siblings).findings[-1] == (
        "its variations are rephrased: it learned from 85,000 sentences with a sibling"
    )
    measured = {
        **siblings,
        "variation_systems": {},
        "variation_adequacy": 0.5,
        "variation_retrieval_at_1": 0.4,
    }
    found = diagnose(measured)
    assert found.findings[-1].endswith(
        "with a sibling; their adequacy is 0.50 nats a token (variation_adequacy, at least 0.1), "
        "40% are nearest to their own group among 100 (variation_retrieval_at_1)"
    )
    assert not found.remedies


def test_variations_that_say_little_of_their_sentences_are_a_warning() -> None:
    figures = {**FIGURES, "siblings": 9, "variation_systems": {}, "variation_adequacy": 0.05}
    found = diagnose(figures)
    assert (found.verdict, found.healthy) == ("healthy", True)
    assert (
        "their adequacy is 0.05 nats a token (variation_adequacy), at least 0.1"
        in (found.findings[-1])
    )
    assert len(found.remedies) == 2
    assert not diagnose({**figures, "variation_adequacy": 0.1}).remedies
    assert diagnose({**figures, "variation_adequacy": math.nan}).verdict == "unmeasured"
