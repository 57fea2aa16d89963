"""Whether a candidate may take the champion's place."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textvae.config import GateConfig
from textvae.store.attachments import list_attachments, read_attachment
from textvae.store.versions import Version

# One-sided 95 % point of the normal distribution; the holdout is large enough for it.
NORMAL_95 = 1.6449


class Decision(NamedTuple):
    """What the gate says, with its reasons in words and figures."""

    decision: str
    """`first` (there was nobody to compare with), `accepted` or `rejected`."""
    reasons: list[str]
    worse_bound_nats: float | None
    """The ELBO is worse by at most this, with 95 % confidence; None without a champion."""


def decide(
    figures: Mapping[str, Any],
    elbo_nats: Sequence[float],
    champion_elbo_nats: Sequence[float] | None,
    config: GateConfig,
    faults: Sequence[str] = (),
) -> Decision:
    """Faults and floors first, then the paired bound on the ELBO of the same held-out sentences.

    `faults` are sentences of which each one alone rejects, whatever the settings say.
    """
    reasons = [*faults, *_below_floors(figures, config)]
    if champion_elbo_nats is None:
        return Decision("rejected" if reasons else "first", reasons, None)
    worse = np.asarray(champion_elbo_nats) - np.asarray(elbo_nats)
    error = float(worse.std(ddof=1)) / math.sqrt(len(worse)) if len(worse) > 1 else math.inf
    bound = float(worse.mean()) + NORMAL_95 * error
    most = config.worse_share_max * abs(float(np.mean(champion_elbo_nats)))
    if not bound <= most:
        reasons.append(
            f"elbo_nats may be worse than the champion's by {bound:.2f} nats (95 %), "
            f"at most {most:.2f} are allowed"
        )
    return Decision("rejected" if reasons else "accepted", reasons, bound)


def gate_attachment(promotion: int, digest: str = "") -> str:
    """The attachment of a decision against that promotion's champion, or how its name begins."""
    return f"gate-{promotion:06d}-{digest[:8]}"


def gate_decision(registry: Path, version: Version, promotion: int) -> str:
    """What the gate said of the version against the champion of that promotion; empty if not asked.

    Asked more than once with other settings, it said no only if it never said yes.
    """
    said = []
    for name in list_attachments(registry, version):
        if name.startswith(gate_attachment(promotion)):
            attached = read_attachment(registry, version, name) or {}
            said.append(str(json.loads(attached["decision.json"])["decision"]))
    accepted = [decision for decision in said if decision != "rejected"]
    return (accepted or said or [""])[0]


def _below_floors(figures: Mapping[str, Any], config: GateConfig) -> list[str]:
    """A sentence for each figure under its floor."""
    distinct = "distinct_share_fitted"
    if distinct not in figures:
        distinct = "distinct_share_standard"
    floors = {
        "kl_nats": config.kl_nats_min,
        "informed_share": config.informed_share_min,
        "shuffle_nats": config.shuffle_nats_min,
        distinct: config.distinct_min,
    }
    return [
        f"{name} is {figures[name]}, at least {floor:.3g} is needed"
        for name, floor in floors.items()
        # Written so that a figure that is missing or not a number is below every floor.
        if figures[name] is None or not figures[name] >= floor
    ]
