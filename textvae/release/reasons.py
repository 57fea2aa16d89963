"""The gate's paired comparisons: their margins, and what they found in words."""

import math

from textvae.config.evaluation import GateConfig
from textvae.release.paired_test import Comparison, detectable_nats, sentences_needed


def is_not_worse(holdout: Comparison, config: GateConfig) -> bool:
    """Return whether the bound on the frozen holdout is within the margin; False for NaN."""
    return holdout.bound_nats >= -margin_nats(holdout, config)


def rephrases_no_worse(siblings: Comparison | None, config: GateConfig) -> bool:
    """Return whether the bound on held-out groups is within its margin, or decides nothing."""
    return siblings is None or siblings.bound_nats >= -sibling_margin_nats(siblings, config)


def sibling_margin_nats(siblings: Comparison, config: GateConfig) -> float:
    """Return by how many nats a sentence may cost more by its sibling than under the champion."""
    return config.sibling_worse_share_max * abs(siblings.champion_elbo_nats)


def margin_nats(holdout: Comparison, config: GateConfig) -> float:
    """Return by how many nats per sentence the bound may be below the champion's ELBO."""
    return config.worse_share_max * abs(holdout.champion_elbo_nats)


def describe_holdout(holdout: Comparison, config: GateConfig) -> str:
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


def describe_siblings(siblings: Comparison | None, config: GateConfig) -> str:
    """Describe the comparison on held-out groups: the difference, the margin, and the power."""
    assert siblings is not None, "nothing is described where no groups were compared"
    margin = sibling_margin_nats(siblings, config)
    needed = sentences_needed(siblings.spread_nats, margin, 0.8)
    passed = rephrases_no_worse(siblings, config)
    size = f"an equal one passes 8 times in 10 with {needed}"
    if needed is None:
        size = "no number is enough for that margin"
    return (
        f"sibling nats {'are no' if passed else 'may be'} worse on held-out groups: "
        f"{_describe_difference(siblings)}, at least {-margin:.3f} is "
        f"{'allowed' if passed else 'needed'} ({siblings.sentences} groups; {size})"
    )


def describe_newest(newest: Comparison | None) -> str:
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
