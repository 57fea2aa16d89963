"""The gate's rule: what decides, and how often chance would."""

import math
from typing import Any

import numpy as np
import pytest

from textvae.config.evaluation import GateConfig
from textvae.release.gate import Baseline, days_served, decide
from textvae.release.paired_test import compare_pairs, sentences_needed, shown_nats

FIGURES = {
    "kl_nats": 9.0,
    "informed_share": 0.9,
    "shuffle_nats": 30.0,
    "distinct_share_fitted": 0.98,
}


def rival_of(
    better: float, newest_better: float, days: float | None, count: int = 4000, newest: int = 4000
) -> Baseline:
    """Differences that scatter by 4 nats about these means, on 40 nats a sentence."""
    random = np.random.default_rng(0)

    def made(mean: float, sentences: int) -> Any:
        before = random.normal(-40, 10, sentences)
        noise = random.normal(0, 4, sentences)
        return compare_pairs(before + mean + noise - noise.mean(), before)

    return Baseline(made(better, count), made(newest_better, newest), days)


def test_a_first_version_has_to_meet_the_floors_alone() -> None:
    assert decide(FIGURES, None, GateConfig())[:2] == ("first", "first")
    for name in FIGURES:
        for value in (0.0, math.nan, None):
            found = decide({**FIGURES, name: value}, None, GateConfig())
            assert found[:2] == ("rejected", "floor")
            assert found.reasons[0].startswith(f"{name} is {value}, at least")


def test_reconstruction_has_a_floor_where_one_is_set() -> None:
    config = GateConfig(reconstruction_bleu_min=60.0)
    for bleu, decision in ((61.0, "first"), (59.0, "rejected"), (math.nan, "rejected")):
        found = decide({**FIGURES, "reconstruction_bleu": bleu}, None, config)
        assert found.decision == decision
    assert found.reasons == ["reconstruction_bleu is nan, at least 60 is needed"]


@pytest.mark.parametrize(
    ("better", "newest_better", "days", "kind"),
    [
        (0.0, 0.5, 0.0, "superiority"),
        (0.0, 0.0, 0.0, "not-better"),
        (0.0, 0.0, 6.9, "not-better"),
        (0.0, 0.0, 7.0, "freshness"),
        (0.0, -0.5, 7.0, "freshness"),
        (0.0, 0.0, None, "freshness"),
        (-0.5, 2.0, 0.0, "worse"),
        (-0.5, 0.0, 400.0, "worse"),
    ],
)
def test_no_worse_on_the_holdout_and_then_better_on_the_newest_text_or_fresher(
    better: float, newest_better: float, days: float | None, kind: str
) -> None:
    found = decide(FIGURES, rival_of(better, newest_better, days), GateConfig())
    assert found.kind == kind
    rejects = kind in ("not-better", "worse")
    assert found.decision == ("rejected" if rejects else "accepted")
    assert len(found.reasons) == (1 if rejects else 2)


def test_a_decision_says_how_many_sentences_there_were_and_how_many_the_margin_needs() -> None:
    """0.5 % of 40 nats is 0.2; (1.645 + 0.842)² x 16 / 0.04 = 2473, with 1.282 3425.

    Here the mean is 40.3 nats and the spread 3.98.
    """
    said = decide(FIGURES, rival_of(0, 0.5, 0.0, count=3000), GateConfig()).reasons[0]
    assert "(3000 sentences; an equal one passes 8 times in 10 with 24" in said
    assert "9 times with 33" in said
    assert "at least -0.120 with 95 % confidence, at least -0.2" in said
    few = decide(FIGURES, rival_of(0, 0.5, 0.0, count=500), GateConfig())
    assert few.kind == "worse"
    assert few.reasons[0].endswith("raise gate.sentences and data.test_share)")
    plain = decide(FIGURES, rival_of(-0.5, 0.5, 0.0, count=500), GateConfig())
    assert "raise gate.sentences" not in plain.reasons[0]


def test_the_sizes_that_a_decision_names_keep_their_word() -> None:
    """Equal versions pass the margin 8 times in 10, and a real improvement shows as often."""
    random = np.random.default_rng(0)
    count = sentences_needed(3.0, 0.5, 0.8)
    assert count is not None
    before = np.full(count, -40.0)
    nights = [compare_pairs(before + random.normal(0, 3, count), before) for _ in range(2000)]
    passed = np.mean([night.bound_nats >= -0.5 for night in nights])
    assert passed == pytest.approx(0.8, abs=0.03)
    step = shown_nats(nights[0]._replace(spread_nats=3.0), 0.8)
    nights = [compare_pairs(before + random.normal(step, 3, count), before) for _ in range(2000)]
    assert np.mean([night.bound_nats > 0 for night in nights]) == pytest.approx(0.8, abs=0.03)


def test_a_few_sentences_pass_by_chance_no_more_often_than_many() -> None:
    """With the normal distribution's quantile five sentences would pass 9 times in 100."""
    random = np.random.default_rng(1)
    for count in (3, 5, 10):
        draws = random.normal(0, 3, (10_000, count))
        passed = np.mean([compare_pairs(row, np.zeros(count)).bound_nats > 0 for row in draws])
        assert passed == pytest.approx(0.05, abs=0.008)


def test_one_sentence_shows_nothing_and_neither_does_one_that_is_no_number() -> None:
    for pair in (([-20.0], [-20.0]), ([math.nan, -20.0], [-20.0, -20.0])):
        found = decide(FIGURES, Baseline(compare_pairs(*pair), None, 9.0), GateConfig())
        assert found[:2] == ("rejected", "worse")


def test_newest_text_without_a_held_out_sentence_leaves_freshness_to_decide() -> None:
    rival = rival_of(0, 0, 0.0)._replace(newest=None)
    found = decide(FIGURES, rival, GateConfig())
    assert found.kind == "not-better"
    assert found.reasons[0].startswith("the newest text has no held-out sentence")
    assert decide(FIGURES, rival._replace(days=8.0), GateConfig()).kind == "freshness"
    assert decide(FIGURES, rival, GateConfig(champion_days_max=0)).kind == "freshness"


@pytest.mark.parametrize(
    ("at", "now", "days"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-08T12:00:00Z", 7.5),
        ("2026-01-01T06:00:00Z", "2026-01-01T00:00:00Z", 0.0),
        ("2026-01-09T00:00:00Z", "2026-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00Z", "1970-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00", "2026-01-02T00:00:00+00:00", 1.0),
        ("yesterday", "2026-01-01T00:00:00Z", None),
    ],
)
def test_a_champion_has_an_age_unless_a_clock_must_be_wrong(
    at: str, now: str, days: float | None
) -> None:
    assert days_served(at, now) == days
