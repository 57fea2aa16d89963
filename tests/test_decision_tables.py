"""The report shows a decision of the gate as tables: no dictionaries, nothing left out."""

from typing import Any

import pytest

from textvae.config.evaluation import GateConfig
from textvae.reporting.decisions import KINDS, TextTable, decision_tables, say
from textvae.reporting.page import _decision
from textvae.settings import to_mapping

COMPARISON = {
    "sentences": 1200,
    "candidate_elbo_nats": -40.123456,
    "champion_elbo_nats": -41.0,
    "better_nats": 0.876544,
    "spread_nats": 3.0,
    "bound_nats": None,
}
DECISION: dict[str, Any] = {
    "decision": "rejected",
    "kind": "floor",
    "reasons": ["<too low>"],
    "floors": {
        "kl_nats": {"found": 7.25, "min": 1.0},
        "distinct_share_fitted": {"found": None, "min": 0.5},
        "informed_share": {"found": 0.25, "min": 0.5},
    },
    "holdout": {**COMPARISON, "margin_nats": 0.205, "sentences_needed_80": 1300},
    "newest": None,
    "siblings": {
        "groups": 90,
        "candidate_sibling_nats": 50.0,
        "champion_sibling_nats": 52.5,
        "better_nats": 2.5,
        "bound_nats": -0.125,
        "margin_nats": 1.5,
        "groups_needed_80": 40,
    },
    "sealed": COMPARISON,
    "champion_days": 3.5,
    "variations": "not judged",
    "verdict": "healthy",
    "gate": to_mapping(GateConfig()),
    "sentences": 1000,
    "canaries": {"canaries": 3, "written": ["a.txt:1"], "completed": [], "found": 1},
    "drift": None,
    "against": "20260101-aaaaaaaaaaaa",
    "at": "2026-01-02T00:00:00Z",
}


def table(title: str) -> TextTable:
    [found] = [one for one in decision_tables(DECISION) if one.title.startswith(title)]
    return found


def test_floors_are_a_row_each_and_say_whether_they_hold() -> None:
    assert table("Floors").rows == [
        ("KL, nats", "7.25", "1", "held"),
        ("distinct draws, fitted prior", "-", "0.5", "not held"),
        ("share of the KL that the decoder uses", "0.25", "0.5", "not held"),
    ]


def test_comparisons_are_a_row_for_each_set_that_was_compared() -> None:
    assert table("Comparisons").rows == [
        ("frozen holdout, ELBO", "1200", "-40.12", "-41", "+0.8765", "-", "-0.205", "1300"),
        ("held-out groups, nats of siblings", "90", "50", "52.5", "+2.5", "-0.125", "-1.5", "40"),
        ("sealed set, ELBO (decides nothing)", "1200", "-40.12", "-41", "+0.8765", "-", "-", "-"),
    ]


def test_the_page_shows_every_part_and_no_dictionary() -> None:
    page = _decision(DECISION)
    assert "{" not in page
    assert "None" not in page
    assert "&lt;too low&gt;" in page
    for text in (
        "compared with",
        "20260101-aaaaaaaaaaaa",
        KINDS["floor"],
        "a.txt:1",
        "champion days max",
    ):
        assert text in page


def test_what_no_table_knows_is_shown_by_its_name_and_an_old_decision_too() -> None:
    assert "<td>worse bound nats</td><td>0.125</td>" in _decision({"worse_bound_nats": 0.125})
    assert "<td>extra</td><td>a 1; b 2.5, x</td>" in _decision({"extra": {"a": 1, "b": [2.5, "x"]}})
    assert _decision({"decision": "first"}).startswith("<p><b>first</b></p>")


@pytest.mark.parametrize(
    ("value", "said"),
    [(True, "yes"), ([], "-"), (float("nan"), "-"), (10_000, "10000"), (0.00123456, "0.001235")],
)
def test_a_value_is_said_in_few_digits(value: object, said: str) -> None:
    assert say(value) == said
