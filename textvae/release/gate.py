"""Whether a candidate may take the champion's place.

Faults and floors first. Then the candidate must not be worse on the frozen holdout (a paired bound
within a margin), and it must be better on the newest text, unless the champion is so old that
staying fresh is worth more than proof.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from textvae.config.evaluation import GateConfig
from textvae.release.paired_test import Comparison, sentences_needed, shown_nats
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

# Two machines' clocks differ by less than this many days; a promotion further in the future than
# that was made, or is being read, by a wrong clock.
SKEW_DAYS = 1.0
DAY_S = 86_400


class Baseline(NamedTuple):
    """How the candidate did beside whom it would replace."""

    holdout: Comparison
    newest: Comparison | None
    """None where the newest text has no held-out sentence."""
    days: float | None
    """How long the champion has served; None where the clock cannot be right."""


class Decision(NamedTuple):
    """What the gate says, with its reasons in words and figures."""

    decision: Literal["first", "accepted", "rejected"]
    """`first`: there was nobody to compare with."""
    kind: Kind
    """What decided it, as the README's table has it."""
    reasons: list[str]
    """Why it was rejected, or why it may serve."""


def decide(
    figures: Mapping[str, Any],
    rival: Baseline | None,
    config: GateConfig,
    faults: Sequence[str] = (),
    unreadable: str = "",
    serves: bool = False,
    leaks: Sequence[str] = (),
) -> Decision:
    """Faults and floors first, then the paired bounds on the same held-out sentences.

    `faults` are sentences of which each one alone rejects, whatever the settings say. `unreadable`
    says in words that the champion cannot be opened any more: `rival` is then an earlier champion,
    or None where none can be read either. `serves`: the candidate is the champion itself. `leaks`
    are sentences of the floor that has no figure: what was reproduced and must not be.
    """
    below = [] if faults else [*below_floors(figures, config), *leaks]
    worse = [] if rival is None or not_worse(rival.holdout, config) else [_said_of(rival, config)]
    if faults or below or worse:
        kind: Kind = "fault" if faults else "floor" if below else "worse"
        return Decision("rejected", kind, [*faults, *below, *worse, *filter(None, [unreadable])])
    if unreadable:
        return Decision("accepted", "replacement", [unreadable, *_against(rival, config)])
    if rival is None:
        return _alone(serves)
    holdout = _said_of(rival, config)
    if rival.newest is not None and rival.newest.bound_nats > 0:
        return Decision("accepted", "superiority", [holdout, _of_newest(rival.newest)])
    if _is_old(rival.days, config):
        return Decision("accepted", "freshness", [holdout, _of_age(rival.days, config)])
    shown = _of_newest(rival.newest)
    return Decision("rejected", "not-better", [f"{shown}, and {_of_age(rival.days, config)}"])


def not_worse(holdout: Comparison, config: GateConfig) -> bool:
    """Whether the bound on the frozen holdout is within the margin; not for NaN."""
    return holdout.bound_nats >= -margin_nats(holdout, config)


def margin_nats(holdout: Comparison, config: GateConfig) -> float:
    """By how many nats a sentence the bound may be below the champion's ELBO."""
    return config.worse_share_max * abs(holdout.champion_elbo_nats)


def days_served(at: str, now: str) -> float | None:
    """Days from one time to another (2026-11-23T02:15:00Z); None where they cannot be right.

    A clock that lags by up to a day is taken for none at all. Where it went back further, the age
    is not known: the gate then takes the champion for old, as a champion promoted by a clock that
    ran ahead would else never be old. So a wrong clock can make being no worse suffice for a
    night, and nothing more.
    """
    times = []
    for text in (at, now):
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            return None
        times.append(read if read.tzinfo else read.replace(tzinfo=UTC))
    days = (times[1] - times[0]).total_seconds() / DAY_S
    return max(days, 0.0) if days >= -SKEW_DAYS else None


def numbers(
    figures: Mapping[str, Any], rival: Baseline | None, config: GateConfig
) -> dict[str, Any]:
    """Every number that a decision was made of, for its attachment."""
    floors = _floors(figures, config)
    told: dict[str, Any] = {
        "floors": {name: {"found": figures.get(name), "min": floors[name]} for name in floors},
        "holdout": None,
        "newest": None,
        "champion_days": None,
    }
    if rival is None:
        return told
    holdout, newest = rival.holdout, rival.newest
    margin = margin_nats(holdout, config)
    needed = {
        f"sentences_needed_{percent}": sentences_needed(holdout.spread_nats, margin, percent / 100)
        for percent in (80, 90)
    }
    told["holdout"] = {**holdout._asdict(), "margin_nats": margin, **needed}
    if newest:
        told["newest"] = {**newest._asdict(), "shown_nats_80": shown_nats(newest, 0.8)}
    return {**told, "champion_days": rival.days}


def gate_decision(registry: Path, version: Version, promotion: int) -> str:
    """What the gate said of the version against the champion of that promotion; empty if not asked.

    Asked more than once with other settings, it said no only if it never said yes.
    """
    known = read_decisions(registry, version, promotion).get(promotion, [])
    said = [str(one["decision"]) for one in known]
    accepted = [decision for decision in said if decision != "rejected"]
    return (accepted or said or [""])[0]


def is_rejected(
    registry: Path, version: Version, champion: Promotion | None, config: GateConfig, now: str
) -> bool:
    """Whether the gate said no to the version against this champion, and would say so `now`.

    Who was no worse and only not better while the champion was young may be asked again once the
    champion is old.
    """
    number = champion.number if champion else 0
    if gate_decision(registry, version, number) != "rejected":
        return False
    days = days_served(champion.at, now) if champion else 0.0
    kinds = {one["kind"] for one in read_decisions(registry, version, number)[number]}
    return champion is None or kinds != {"not-better"} or not _is_old(days, config)


def _is_old(days: float | None, config: GateConfig) -> bool:
    """Whether being no worse than a champion of this age is enough."""
    return days is None or days >= config.champion_days_max


def below_floors(figures: Mapping[str, Any], config: GateConfig) -> list[str]:
    """A sentence for each figure under its floor."""
    return [
        f"{name} is {figures[name]}, at least {floor:.3g} is needed"
        for name, floor in _floors(figures, config).items()
        # Written so that a figure that is missing or not a number is below every floor.
        if figures[name] is None or not figures[name] >= floor
    ]


def _floors(figures: Mapping[str, Any], config: GateConfig) -> dict[str, float]:
    """The floor of each figure that has one."""
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


def _alone(serves: bool) -> Decision:
    """Of a candidate that is compared with nobody."""
    if serves:
        reason = "it serves already, so there is nobody to compare it with: it has met the floors"
        return Decision("first", "serves", [reason])
    reason = "nobody has served yet, so there is nobody to compare with: it has met the floors"
    return Decision("first", "first", [reason])


def _against(rival: Baseline | None, config: GateConfig) -> list[str]:
    """Whom a candidate was compared with in place of a champion that cannot be read."""
    if rival is None:
        return ["no earlier champion can be read either, so the floors, which it has met, decide"]
    return [f"beside the newest champion that can be read {_said_of(rival, config)}"]


def _said_of(rival: Baseline, config: GateConfig) -> str:
    """The holdout in words: what was found, what is allowed, and what its size could show."""
    holdout, margin = rival.holdout, margin_nats(rival.holdout, config)
    needed = [sentences_needed(holdout.spread_nats, margin, power) for power in (0.8, 0.9)]
    told = "no number is enough for that margin"
    if needed[0] and needed[1]:
        told = f"an equal one passes 8 times in 10 with {needed[0]}, 9 times with {needed[1]}"
    few = needed[0] is None or holdout.sentences < needed[0]
    passed = not_worse(holdout, config)
    open_still = few and not passed and holdout.better_nats >= -margin
    cure = "; raise gate.sentences and data.test_share" if open_still else ""
    return (
        f"elbo_nats {'is no' if passed else 'may be'} worse on the holdout: "
        f"{_difference(holdout)}, at least {-margin:.3f} is "
        f"{'needed' if not passed else 'allowed'} ({holdout.sentences} sentences; {told}{cure})"
    )


def _of_newest(newest: Comparison | None) -> str:
    """The newest text in words."""
    if newest is None:
        return "the newest text has no held-out sentence, so nothing shows that it is better there"
    found = f"it is {'' if newest.bound_nats > 0 else 'not shown to be '}better on the newest text"
    shown = shown_nats(newest, 0.8)
    size = f"{newest.sentences} sentences"
    if math.isfinite(shown):
        size += f", which show {shown:.3f} 8 times in 10"
    return f"{found}: {_difference(newest)} ({size})"


def _difference(found: Comparison) -> str:
    """Mean and bound in nats."""
    return f"{found.better_nats:+.3f} nats, at least {found.bound_nats:+.3f} with 95 % confidence"


def _of_age(days: float | None, config: GateConfig) -> str:
    """The champion's age in words, and what follows."""
    if days is None:
        return (
            "the clock is behind the champion's promotion by more than a day, so its age is not "
            "known and being no worse is enough"
        )
    return (
        f"the champion is {days:.1f} days old: from {config.champion_days_max:g} on "
        "(gate.champion_days_max) being no worse is enough"
    )
