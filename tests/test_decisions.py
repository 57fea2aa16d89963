"""Decisions that are attached: their numbers, the age of the champion, and what they mean."""

from pathlib import Path

import pytest

from tests.test_gate import BETTER, EQUAL, FIGURES
from textvae.config.evaluation import GateConfig
from textvae.release.gate import (
    Baseline,
    days_served,
    decision_numbers,
    gate_decision,
    is_rejected,
)
from textvae.store.decisions import attach_decision
from textvae.store.promotions import Promotion
from textvae.store.versions import Version, publish


def test_the_numbers_of_a_decision_are_recorded() -> None:
    config = GateConfig(kl_nats_min=2.0)
    alone = decision_numbers({"kl_nats": 9.0}, None, config)
    assert alone["floors"]["kl_nats"] == {"found": 9.0, "min": 2.0}
    assert alone["floors"]["shuffle_nats"] == {"found": None, "min": config.shuffle_nats_min}
    assert {alone[name] for name in ("holdout", "newest", "siblings", "champion_days")} == {None}
    found = decision_numbers(FIGURES, Baseline(EQUAL, BETTER, 2.5), config)
    assert found["champion_days"] == 2.5
    assert found["holdout"] == {
        **EQUAL._asdict(),
        "margin_nats": pytest.approx(0.2),
        "sentences_needed_80": 2474,
        "sentences_needed_90": 3426,
    }
    shown = pytest.approx(0.1573, abs=1e-4)
    assert found["newest"] == {**BETTER._asdict(), "shown_nats_80": shown}
    assert decision_numbers(FIGURES, Baseline(EQUAL, None, None), config)["newest"] is None


@pytest.mark.parametrize(
    ("at", "now", "days"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-08T12:00:00Z", 7.5),
        ("2026-01-01T06:00:00Z", "2026-01-01T00:00:00Z", 0.0),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", 0.0),
        ("2026-01-02T00:00:01Z", "2026-01-01T00:00:00Z", None),
        ("2026-01-09T00:00:00Z", "2026-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00Z", "1970-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00", "2026-01-02T00:00:00+00:00", 1.0),
        ("2026-01-01T00:00:00+02:00", "2026-01-01T00:00:00", pytest.approx(1 / 12)),
        ("yesterday", "2026-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00Z", "", None),
    ],
)
def test_a_champion_has_an_age_unless_a_clock_must_be_wrong(
    at: str, now: str, days: float | None
) -> None:
    assert days_served(at, now) == days


CHAMPION = Promotion(
    3, "20260101-champion", "0" * 64, "", "a test's", "tests", "2026-01-01T00:00:00Z"
)
YOUNG, OLD = "2026-01-07T23:59:59Z", "2026-01-08T00:00:00Z"


@pytest.fixture
def version(tmp_path: Path) -> Version:
    """A version without a decision."""
    return publish(tmp_path, "toy", "20260101", {"weights": b"1"}, {})


def attach_kinds(registry: Path, version: Version, promotion: int, *kinds: str) -> None:
    """Attach a decision of each of these kinds."""
    decisions = {"first": "first", "freshness": "accepted", "superiority": "accepted"}
    for kind in kinds:
        record = {"decision": decisions.get(kind, "rejected"), "kind": kind}
        attach_decision(registry, version, promotion, record)


def test_of_several_decisions_one_that_does_not_reject_counts(
    tmp_path: Path, version: Version
) -> None:
    assert gate_decision(tmp_path, version, 3) == ""
    attach_kinds(tmp_path, version, 3, "worse", "floor")
    assert gate_decision(tmp_path, version, 3) == "rejected"
    attach_kinds(tmp_path, version, 3, "freshness")
    assert gate_decision(tmp_path, version, 3) == "accepted"
    assert gate_decision(tmp_path, version, 0) == gate_decision(tmp_path, version, 4) == ""
    attach_kinds(tmp_path, version, 0, "first")
    assert gate_decision(tmp_path, version, 0) == "first"


@pytest.mark.parametrize(
    ("kinds", "young", "old"),
    [
        ((), False, False),
        (("not-better",), True, False),
        (("worse",), True, True),
        (("not-better", "worse"), True, True),
        (("not-better", "superiority"), False, False),
    ],
)
def test_only_a_version_that_was_not_better_may_be_evaluated_again_against_an_old_champion(
    tmp_path: Path, version: Version, kinds: tuple[str, ...], young: bool, old: bool
) -> None:
    attach_kinds(tmp_path, version, CHAMPION.number, *kinds)
    found = [is_rejected(tmp_path, version, CHAMPION, GateConfig(), now) for now in (YOUNG, OLD)]
    assert found == [young, old]
    clock = is_rejected(tmp_path, version, CHAMPION, GateConfig(), "1970-01-01T00:00:00Z")
    assert clock == old, "a champion of unknown age counts as old"


def test_a_rejection_counts_against_its_own_champion_alone(
    tmp_path: Path, version: Version
) -> None:
    attach_kinds(tmp_path, version, CHAMPION.number, "worse")
    other = CHAMPION._replace(number=4)
    assert not is_rejected(tmp_path, version, other, GateConfig(), OLD)
    assert not is_rejected(tmp_path, version, None, GateConfig(), OLD)
    attach_kinds(tmp_path, version, 0, "floor")
    assert is_rejected(tmp_path, version, None, GateConfig(), OLD)
    second = publish(tmp_path, "toy", "20260101", {"weights": b"2"}, {})
    attach_kinds(tmp_path, second, 0, "not-better")
    assert is_rejected(tmp_path, second, None, GateConfig(), OLD), (
        "there is no champion to grow old"
    )
