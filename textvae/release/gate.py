"""The gate: whether a candidate may replace the champion.

Faults and floors come first. Then the candidate must not be worse on the frozen holdout (a paired
bound within a margin), nor, where either learned from siblings, on held-out groups; and it must be
better on the newest text, unless the champion is so old that a fresher version is worth more than a
significant improvement.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from textvae.config.evaluation import GateConfig
from textvae.release.paired_test import Comparison, detectable_nats, sentences_needed
from textvae.release.reasons import (
    describe_holdout,
    describe_newest,
    describe_siblings,
    is_not_worse,
    margin_nats,
    rephrases_no_worse,
    sibling_margin_nats,
)
from textvae.store.decisions import read_decisions
from textvae.store.promotions import Promotion
from textvae.store.versions import Version

Kind = Literal[
    "first",
    "serves",
    "replacement",
    "superiority",
    "freshness",
    "fault",
    "floor",
    "worse",
    "not-better",
]

# Two machines' clocks differ by less than this many days; one of them is wrong where a promotion is
# further in the future.
SKEW_DAYS = 1.0
DAY_S = 86_400


class Baseline(NamedTuple):
    """Comparisons with the version that the candidate would replace."""

    holdout: Comparison
    newest: Comparison | None
    """None where the newest text has no held-out sentence."""
    days: float | None
    """Days that the version has served; None where the clock cannot be right."""
    siblings: Comparison | None = None
    """Of the negative nats of siblings, group by group; None where they decide nothing."""


class Decision(NamedTuple):
    """A decision of the gate, with its reasons in words and figures."""

    decision: Literal["first", "accepted", "rejected"]
    """`first`: there was no version to compare with."""
    kind: Kind
    """The rule that decided."""
    reasons: list[str]
    """Why the candidate is rejected, or why it may serve."""


def decide(
    figures: Mapping[str, Any],
    baseline: Baseline | None,
    config: GateConfig,
    faults: Sequence[str] = (),
    unreadable: str = "",
    serves: bool = False,
    leaks: Sequence[str] = (),
) -> Decision:
    """Decide by faults and floors, then by the paired bounds on the same held-out sentences.

    `faults` are sentences of which each one rejects, whatever the settings. `unreadable` says in
    words that the champion cannot be read: `baseline` is then an earlier champion, or None where
    none can be read either. `serves`: the candidate is the champion itself. `leaks` are reasons of
    the floor that has no figure: canaries that the candidate reproduces.
    """
    below = [] if faults else [*violated_floors(figures, config), *leaks]
    worse: list[str] = []
    if baseline is not None and not is_not_worse(baseline.holdout, config):
        worse.append(describe_holdout(baseline.holdout, config))
    if baseline is not None and not rephrases_no_worse(baseline.siblings, config):
        worse.append(describe_siblings(baseline.siblings, config))
    if faults or below or worse:
        kind: Kind = "fault" if faults else "floor" if below else "worse"
        return Decision("rejected", kind, [*faults, *below, *worse, *filter(None, [unreadable])])
    if unreadable:
        reasons = [unreadable, _describe_replacement(baseline, config)]
        return Decision("accepted", "replacement", reasons)
    if baseline is None:
        return _decide_without_baseline(serves)
    holdout, age = describe_holdout(baseline.holdout, config), _describe_age(baseline.days, config)
    newest = describe_newest(baseline.newest)
    siblings = [describe_siblings(baseline.siblings, config)] if baseline.siblings else []
    if baseline.newest is not None and baseline.newest.bound_nats > 0:
        return Decision("accepted", "superiority", [holdout, *siblings, newest])
    if _is_old(baseline.days, config):
        return Decision("accepted", "freshness", [holdout, *siblings, age])
    return Decision("rejected", "not-better", [f"{newest}, and {age}"])


def days_served(at: str, now: str) -> float | None:
    """Return the days from one time to another (2026-11-23T02:15:00Z); None where a clock is wrong.

    A difference of up to a day between two clocks counts as 0 days. Where `now` is further before
    `at`, the age is unknown, and the gate takes the champion for old: one that a fast clock
    promoted would otherwise never be old. So a wrong clock can make being no worse suffice for one
    nightly run, and nothing more.
    """
    times = []
    for text in (at, now):
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return None
        times.append(time if time.tzinfo else time.replace(tzinfo=UTC))
    days = (times[1] - times[0]).total_seconds() / DAY_S
    return max(days, 0.0) if days >= -SKEW_DAYS else None


def decision_numbers(
    figures: Mapping[str, Any], baseline: Baseline | None, config: GateConfig
) -> dict[str, Any]:
    """Return every number that a decision depends on, for its attachment."""
    floors = _floors(figures, config)
    numbers: dict[str, Any] = {
        "floors": {name: {"found": figures.get(name), "min": floors[name]} for name in floors},
        "holdout": None,
        "newest": None,
        "siblings": None,
        "champion_days": None,
    }
    if baseline is None:
        return numbers
    holdout, newest = baseline.holdout, baseline.newest
    margin = margin_nats(holdout, config)
    needed = {
        f"sentences_needed_{percent}": sentences_needed(holdout.spread_nats, margin, percent / 100)
        for percent in (80, 90)
    }
    numbers["holdout"] = {**holdout._asdict(), "margin_nats": margin, **needed}
    if newest:
        numbers["newest"] = {**newest._asdict(), "shown_nats_80": detectable_nats(newest, 0.8)}
    if siblings := baseline.siblings:
        numbers["siblings"] = _sibling_numbers(siblings, config)
    return {**numbers, "champion_days": baseline.days}


def _sibling_numbers(siblings: Comparison, config: GateConfig) -> dict[str, Any]:
    """Return the comparison on held-out groups by the names of what was measured."""
    margin = sibling_margin_nats(siblings, config)
    return {
        "groups": siblings.sentences,
        "candidate_sibling_nats": -siblings.candidate_elbo_nats,
        "champion_sibling_nats": -siblings.champion_elbo_nats,
        "better_nats": siblings.better_nats,
        "spread_nats": siblings.spread_nats,
        "bound_nats": siblings.bound_nats,
        "margin_nats": margin,
        "groups_needed_80": sentences_needed(siblings.spread_nats, margin, 0.8),
    }


def gate_decision(registry: Path, version: Version, promotion: int) -> str:
    """Return the gate's decision on the version against the champion of that promotion; empty
    without one.

    Of several decisions, with other settings, the first that does not reject counts.
    """
    records = read_decisions(registry, version, promotion).get(promotion, [])
    decisions = [str(record["decision"]) for record in records]
    accepted = [decision for decision in decisions if decision != "rejected"]
    return (accepted or decisions or [""])[0]


def is_rejected(
    registry: Path, version: Version, champion: Promotion | None, config: GateConfig, now: str
) -> bool:
    """Return whether the gate rejected the version against this champion, and would do so `now`.

    A version that was no worse, and not better while the champion was young, may be evaluated again
    once the champion is old.
    """
    number = champion.number if champion else 0
    if gate_decision(registry, version, number) != "rejected":
        return False
    if champion is None:
        return True
    kinds = {record["kind"] for record in read_decisions(registry, version, number)[number]}
    return kinds != {"not-better"} or not _is_old(days_served(champion.at, now), config)


def _is_old(days: float | None, config: GateConfig) -> bool:
    """Return whether being no worse than a champion of this age is enough."""
    return days is None or days >= config.champion_days_max


def violated_floors(figures: Mapping[str, Any], config: GateConfig) -> list[str]:
    """Return a sentence for each figure under its floor."""
    return [
        f"{name} is {figures[name]}, at least {floor:.3g} is needed"
        for name, floor in _floors(figures, config).items()
        # Written so that a figure that is missing or not a number is below every floor.
        if figures[name] is None or not figures[name] >= floor
    ]


def _floors(figures: Mapping[str, Any], config: GateConfig) -> dict[str, float]:
    """Return the floor of each figure that has one."""
    distinct = "distinct_share_fitted"
    if distinct not in figures:
        distinct = "distinct_share_standard"
    floors = {
        "kl_nats": config.kl_nats_min,
        "informed_share": config.informed_share_min,
        "shuffle_nats": config.shuffle_nats_min,
        distinct: config.distinct_min,
    }
    if "variation_adequacy" in figures:
        floors["variation_adequacy"] = config.adequacy_min
    if config.reconstruction_bleu_min:
        floors["reconstruction_bleu"] = config.reconstruction_bleu_min
    return floors


def _decide_without_baseline(serves: bool) -> Decision:
    """Decide on a candidate that has met the floors and has no version to be compared with."""
    if serves:
        reason = "it is the champion, so there is no version to compare it with: it met the floors"
        return Decision("first", "serves", [reason])
    reason = "no version has served yet, so there is none to compare it with: it met the floors"
    return Decision("first", "first", [reason])


def _describe_replacement(baseline: Baseline | None, config: GateConfig) -> str:
    """Describe what a candidate was compared with in place of an unreadable champion."""
    if baseline is None:
        return "no earlier champion can be read either, so the floors, which it has met, decide"
    holdout = describe_holdout(baseline.holdout, config)
    return f"compared with the newest champion that can be read {holdout}"


def _describe_age(days: float | None, config: GateConfig) -> str:
    """Describe the champion's age and what follows from it."""
    if days is None:
        return (
            "the clock is behind the champion's promotion by more than a day, so its age is not "
            "known and being no worse is enough"
        )
    return (
        f"the champion is {days:.1f} days old: from {config.champion_days_max:g} on "
        "(gate.champion_days_max) being no worse is enough"
    )
