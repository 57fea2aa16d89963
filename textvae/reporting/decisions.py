"""A decision of the gate as tables for people: what decided, floors, comparisons, settings."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from textvae.reporting.titles import FIGURES

FACTS = {
    "against": "compared with",
    "kind": "the rule that decided",
    "champion_days": "age of the champion, days",
    "verdict": "the doctor's verdict",
    "sentences": "held-out sentences measured",
    "variations": "variations",
    "at": "time, UTC",
}
KINDS = {
    "first": "first: no version served",
    "serves": "serves: it is the champion itself",
    "replacement": "replacement: the champion cannot be read",
    "superiority": "superiority: better on the newest text",
    "freshness": "freshness: no worse, and the champion is old",
    "fault": "fault: it cannot serve",
    "floor": "floor: below a least value",
    "worse": "worse: not shown to be no worse than the champion",
    "not-better": "not-better: no worse, but not better on the newest text either",
}
SETS = {
    "holdout": "frozen holdout, ELBO",
    "newest": "newest text, ELBO",
    "siblings": "held-out groups, nats of siblings",
    "sealed": "sealed set, ELBO (decides nothing)",
}
_SHOWN_ELSEWHERE = ("decision", "reasons", "drift")


class TextTable(NamedTuple):
    """A table of words: its title, the heads of its columns, and its rows."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def decision_tables(decision: Mapping[str, Any]) -> list[TextTable]:
    """Return the tables of a decision, as it is attached, without its outcome, reasons and drift.

    What no table knows is shown under its own name, so that nothing of a decision is left out.
    """
    facts = [
        (title, KINDS.get(decision[key], str(decision[key])) if key == "kind" else say(value))
        for key, title in FACTS.items()
        if (value := decision.get(key)) is not None
    ]
    known = {*FACTS, *SETS, *_SHOWN_ELSEWHERE, "floors", "gate", "canaries"}
    rest = {key: value for key, value in decision.items() if key not in known}
    tables = [
        TextTable("", ("", ""), [*facts, *_flat(rest)]),
        TextTable("Floors", ("figure", "found", "at least", ""), _floors(decision)),
        TextTable(
            "Comparisons with the champion, nats a sentence",
            ("set", "sentences or groups", "candidate", "champion", "better by", "95 % bound",
             "bound allowed", "needed for 80 %"),
            _comparisons(decision),
        ),
        TextTable("Canaries", ("", ""), _flat(decision.get("canaries") or {})),
        TextTable("Settings of the gate", ("", ""), _flat(decision.get("gate") or {})),
    ]  # fmt: skip
    return [table for table in tables if table.rows]


def say(value: Any) -> str:
    """Return a value of a decision in words: numbers in four digits, a dash for nothing."""
    if value is None or value == "" or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "-"
    if isinstance(value, list):
        return ", ".join(say(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{_title(key)} {say(item)}" for key, item in value.items())
    return str(value)


def _floors(decision: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each floor: the figure, its value, the least one, and whether it holds."""
    rows: list[tuple[str, ...]] = []
    for name, floor in (decision.get("floors") or {}).items():
        found, least = floor.get("found"), floor.get("min")
        held = isinstance(found, int | float) and isinstance(least, int | float) and found >= least
        verdict = "held" if held else "not held"
        rows.append((FIGURES.get(name, _title(name)), say(found), say(least), verdict))
    return rows


def _comparisons(decision: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each set that the candidate and the champion were compared on."""
    rows: list[tuple[str, ...]] = []
    for key, title in SETS.items():
        one = decision.get(key)
        if not one:
            continue
        measure = "sibling_nats" if key == "siblings" else "elbo_nats"
        margin = one.get("margin_nats")
        needed = one.get("groups_needed_80", one.get("sentences_needed_80"))
        rows.append(
            (
                title,
                say(one.get("groups", one.get("sentences"))),
                *(say(one.get(f"{side}_{measure}")) for side in ("candidate", "champion")),
                *(_signed(one.get(part)) for part in ("better_nats", "bound_nats")),
                _signed(-margin if isinstance(margin, float) else None),
                say(needed),
            )
        )
    return rows


def _signed(value: Any) -> str:
    """Return a difference with its sign; a dash for none."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:+.4g}" if known else "-"


def _flat(values: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each value, by its name in words."""
    return [(_title(key), say(value)) for key, value in sorted(values.items())]


def _title(key: str) -> str:
    """Return a name in words."""
    return FIGURES.get(key, key.replace("_", " "))
