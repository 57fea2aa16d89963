"""The gate: whether a candidate may replace the champion.

Faults and floors come first. Then the candidate must not be worse on the frozen holdout (a paired
bound within a margin), and it must be better on the newest text, unless the champion is so old
that a fresher version is worth more than a significant improvement.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from textvae.config.evaluation import GateConfig
from textvae.release.paired_test import Comparison, detectable_nats, sentences_needed
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
    worse = []
    if baseline is not None and not is_not_worse(baseline.holdout, config):
        worse = [_describe_holdout(baseline.holdout, config)]
    if faults or below or worse:
        kind: Kind = "fault" if faults else "floor" if below else "worse"
        return Decision("rejected", kind, [*faults, *below, *worse, *filter(None, [unreadable])])
    if unreadable:
        reasons = [unreadable, _describe_replacement(baseline, config)]
        return Decision("accepted", "replacement", reasons)
    if baseline is None:
        return _decide_without_baseline(serves)
    holdout, age = _describe_holdout(baseline.holdout, config), _describe_age(baseline.days, config)
    newest = _describe_newest(baseline.newest)
    if baseline.newest is not None and baseline.newest.bound_nats > 0:
        return Decision("accepted", "superiority", [holdout, newest])
    if _is_old(baseline.days, config):
        return Decision("accepted", "freshness", [holdout, age])
    return Decision("rejected", "not-better", [f"{newest}, and {age}"])


def is_not_worse(holdout: Comparison, config: GateConfig) -> bool:
    """Return whether the bound on the frozen holdout is within the margin; False for NaN."""
    return holdout.bound_nats >= -margin_nats(holdout, config)


def margin_nats(holdout: Comparison, config: GateConfig) -> float:
    """Return by how many nats per sentence the bound may be below the champion's ELBO."""
    return config.worse_share_max * abs(holdout.champion_elbo_nats)


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
    return {**numbers, "champion_days": baseline.days}


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
    holdout = _describe_holdout(baseline.holdout, config)
    return f"compared with the newest champion that can be read {holdout}"


def _describe_holdout(holdout: Comparison, config: GateConfig) -> str:
    """Describe the comparison on the holdout: the difference, the margin, and the power."""
    margin = margin_nats(holdout, config)
    needed, more = (sentences_needed(holdout.spread_nats, margin, power) for power in (0.8, 0.9))
    size = f"an equal one passes 8 times in 10 with {needed}, 9 times with {more}"
    if needed is None:
        size = "no number is enough for that margin"
    few = needed is None or holdout.sentences < needed
    passed = is_not_worse(holdout, config)
    undecided = few and not passed and holdout.better_nats >= -margin
    remedy = "; raise gate.sentences and data.test_share" if undecided else ""
    return (
        f"elbo_nats {'is no' if passed else 'may be'} worse on the holdout: "
        f"{_describe_difference(holdout)}, at least {-margin:.3f} is "
        f"{'needed' if not passed else 'allowed'} ({holdout.sentences} sentences; {size}{remedy})"
    )


def _describe_newest(newest: Comparison | None) -> str:
    """Describe the comparison on the newest text."""
    if newest is None:
        return "the newest text has no held-out sentence, so nothing shows that it is better there"
    result = f"it is {'' if newest.bound_nats > 0 else 'not shown to be '}better on the newest text"
    detectable = detectable_nats(newest, 0.8)
    size = f"{newest.sentences} sentences"
    if math.isfinite(detectable):
        size += f", which show {detectable:.3f} 8 times in 10"
    return f"{result}: {_describe_difference(newest)} ({size})"


def _describe_difference(comparison: Comparison) -> str:
    """Describe mean and bound in nats."""
    bound = f"at least {comparison.bound_nats:+.3f} with 95 % confidence"
    return f"{comparison.better_nats:+.3f} nats, {bound}"


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
