"""The doctor: a verdict on a version's figures, findings in words, and settings to change.

KL, active units and mutual information are checked after the one question that they cannot answer,
whether the decoder uses the latent: a BatchNorm on the means, or free bits, hold all three up
where it does not.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from textvae.config.evaluation import (
    ADEQUACY_MIN,
    INFORMED_SHARE_MIN,
    KL_NATS_MIN,
    SHUFFLE_NATS_MIN,
)
from textvae.evaluation.checks import (
    DECODER_REMEDIES,
    VALID_SHARE_MIN,
    Finding,
    Verdict,
    checks,
    number_of,
    suggested_rate,
)
from textvae.evaluation.vectors import describe_vectors
from textvae.installation import job_command
from textvae.model.collapse import is_ignored

SEVEREST_FIRST: tuple[Verdict, ...] = (
    "collapsed",
    "decoder-ignores-latent",
    "unmeasured",
    "under-informed",
    "over-coded",
    "poor-decoder",
    "invalid-decodes",
    "healthy",
)
# Under a floor the KL of every dimension is near it; where a latent is used, some dimensions carry
# ten times what others do.
EVEN_RATIO_MAX = 3.0
FATAL: tuple[Verdict, ...] = ("collapsed", "decoder-ignores-latent")


class Diagnosis(NamedTuple):
    """A verdict, its findings and their remedies."""

    verdict: Verdict
    findings: list[str]
    """Sentences that name a figure, its limit and what it means, the severest first."""
    remedies: list[str]
    """Sentences that name what to change; none for a healthy version without warnings."""

    @property
    def healthy(self) -> bool:
        """Return whether no finding is worse than a warning."""
        return self.verdict == "healthy"

    @property
    def fatal(self) -> bool:
        """Return whether the decoder ignores the latent: no such version may serve."""
        return self.verdict in FATAL


def diagnose(figures: Mapping[str, Any]) -> Diagnosis:
    """Diagnose the figures of `evaluate`; one that is missing or no number is not healthy.

    The severest finding is the verdict. Where the decoder ignores the latent this is the only
    finding: all others follow from it.
    """
    ignored = _check_latent_use(figures)
    if ignored:
        return Diagnosis(ignored.verdict, [ignored.sentence], list(ignored.remedies))
    found, missing = [], []
    for names, check in checks(figures):
        unknown = [name for name in names if not math.isfinite(number_of(figures, name))]
        missing += unknown
        found += [] if unknown else check(figures)
    if missing:
        found.append(_unmeasured(dict.fromkeys(missing)))
    found.sort(key=lambda finding: SEVEREST_FIRST.index(finding.verdict))
    verdict = found[0].verdict if found else "healthy"
    sentences = [finding.sentence for finding in found]
    if verdict == "healthy":
        sentences = [*_describe_health(figures), *sentences]
    remedies = dict.fromkeys(remedy for finding in found for remedy in finding.remedies)
    return Diagnosis(verdict, sentences, list(remedies))


def _check_latent_use(figures: Mapping[str, Any]) -> Finding | None:
    """Return the finding that the decoder ignores its latent, by the test of the watchdog in
    training; None where it does not."""
    shuffle = number_of(figures, "shuffle_nats")
    if not is_ignored(shuffle):
        return None
    evidence = (
        f"the decoder ignores the latent: shuffling latents among sentences costs {shuffle:.2f} "
        f"nats (shuffle_nats, at least {SHUFFLE_NATS_MIN:g})"
    )
    if math.isnan(shuffle):
        evidence = (
            "nothing shows that the decoder listens: what shuffling latents among sentences costs "
            "(shuffle_nats) is not known"
        )
    kl, units = number_of(figures, "kl_nats"), number_of(figures, "active_units")
    if kl >= KL_NATS_MIN and units >= 1:
        return _ignoring_finding(figures, evidence)
    sentence = f"{evidence}, and the KL (kl_nats, at least {KL_NATS_MIN:g}) is not known"
    if math.isfinite(kl):
        sentence = (
            f"the posterior has collapsed to the prior, at a KL of {kl:.2f} nats (kl_nats, at "
            f"least {KL_NATS_MIN:g}), and {evidence}"
        )
    weaken = (
        "penalise the KL less and later: raise training.free_bits, anneal longer "
        "(training.kl_steps), or hold the means apart with model.batchnorm_scale"
    )
    return Finding("collapsed", sentence, (_rate_remedy(figures), *DECODER_REMEDIES, weaken))


def _ignoring_finding(figures: Mapping[str, Any], evidence: str) -> Finding:
    """Return the finding of a collapse that KL, active units and mutual information do not show."""
    saved = number_of(figures, "language_model_nats") - number_of(figures, "reconstruction_nats")
    sentence = (
        f"KL {number_of(figures, 'kl_nats'):.1f} nats, {number_of(figures, 'active_units'):.0f} of "
        f"{number_of(figures, 'latent'):.0f} active units and "
        f"{number_of(figures, 'mutual_information_nats'):.1f} nats of mutual information seem "
        f"healthy, but {evidence}, and the latent saves {saved:.2f} nats over the language model, "
        f"which has none{_describe_evenness(figures)}"
    )
    floors = (
        "do not rely on model.batchnorm_scale or training.free_bits alone: they hold the KL up and "
        "make no decoder listen"
    )
    return Finding(
        "decoder-ignores-latent", sentence, (*DECODER_REMEDIES, _rate_remedy(figures), floors)
    )


def _rate_remedy(figures: Mapping[str, Any]) -> str:
    """Return the remedy that helps against every collapse."""
    return f"set training.target_kl_nats{suggested_rate(figures)}, which holds the KL at a rate"


def _unmeasured(names: Iterable[str]) -> Finding:
    """Return the finding that figures are missing or no numbers."""
    sentence = f"not measured, or not a number: {', '.join(names)}; nothing shows them healthy"
    return Finding("unmeasured", sentence, (f"evaluate again ({job_command('evaluate')})",))


def _describe_health(figures: Mapping[str, Any]) -> list[str]:
    """Return the figures that make a version healthy, in words."""
    kl = number_of(figures, "kl_nats")
    informed = number_of(figures, "language_model_nats") - number_of(figures, "reconstruction_nats")
    return [
        f"shuffling latents among sentences costs {number_of(figures, 'shuffle_nats'):.2f} nats "
        f"(shuffle_nats, at least {SHUFFLE_NATS_MIN:g}): the decoder listens",
        f"of {kl:.1f} nats of KL it uses {informed:.1f} (language_model_nats - "
        f"reconstruction_nats, at least {INFORMED_SHARE_MIN:.0%})",
        f"between held-out sentences {number_of(figures, 'segment_valid_share'):.0%} of the "
        f"decodes are valid (segment_valid_share, at least {VALID_SHARE_MIN:.0%})",
        *_describe_variations(figures),
        *filter(None, [describe_vectors(figures)]),
    ]


def _describe_variations(figures: Mapping[str, Any]) -> list[str]:
    """Return what the version's variations are: rephrased or drawn; nothing where it is unknown."""
    siblings = number_of(figures, "siblings")
    if not math.isfinite(siblings):
        return []
    if siblings == 0:
        return [
            "its variations are drawn around a sentence, not rephrased: it learned from no groups "
            "of sentences that say the same (training.sibling_share)"
        ]
    sentence = (
        f"its variations are rephrased: it learned from {siblings:,.0f} sentences with a sibling"
    )
    adequacy = number_of(figures, "variation_adequacy")
    if math.isfinite(adequacy):
        sentence += (
            f"; their adequacy is {adequacy:.2f} nats a token (variation_adequacy, at least "
            f"{ADEQUACY_MIN:g}), {number_of(figures, 'variation_retrieval_at_1'):.0%} are nearest "
            "to their own group among 100 (variation_retrieval_at_1)"
        )
    return [sentence]


def _describe_evenness(figures: Mapping[str, Any]) -> str:
    """Describe that all dimensions carry about the same, as under a floor of the KL; else empty."""
    if not math.isfinite(number_of(figures, "kl_nats_by_dimension")):
        return ""
    nats = figures["kl_nats_by_dimension"]
    if not min(nats) >= max(nats) / EVEN_RATIO_MAX > 0:
        return ""
    mean = sum(nats) / len(nats)
    return f"; every dimension carries {mean:.2f} nats or so, as under a floor of the KL"
