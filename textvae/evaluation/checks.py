"""Checks of the figures of a version whose decoder uses the latent, and their limits."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from textvae.config.evaluation import (
    ADEQUACY_MIN,
    DISTINCT_SHARE_MIN,
    INFORMED_SHARE_MIN,
    KL_NATS_MIN,
)
from textvae.installation import job_command

Verdict = Literal[
    "healthy",
    "collapsed",
    "decoder-ignores-latent",
    "unmeasured",
    "under-informed",
    "over-coded",
    "poor-decoder",
    "invalid-decodes",
]

# KL_NATS_MIN is 1.4 bits, which answer hardly one question about a sentence. INFORMED_SHARE_MIN:
# a VAE uses all of its rate, the KL, but the gap of its bound, some tenths of the KL.
# DISTINCT_SHARE_MIN: every second greedy draw must be a sentence of its own.

# A decoder that has half of a sentence from the latent and uses less than half of the rate does
# listen: the rate is above the information that there is.
INFORMED_SENTENCE_SHARE_MIN = 0.5
# Of the smaller of its two ceilings, the KL and the logarithm of the sentences: below half, most of
# the KL moves all posteriors together, off the prior, and distinguishes no sentences.
INFORMATION_SHARE_MIN = 0.5
# One draw of each posterior estimates the information; an excess over its ceilings of more than
# this share, and half a nat, is an error and not chance.
INFORMATION_EXCESS_MAX = 0.1
# A dead dimension costs time and no quality, so that many of them are only a warning.
ACTIVE_SHARE_MIN = 0.25
# A dimension that carries more than half of the KL orders sentences on a line.
DIMENSION_SHARE_MAX = 0.5
# Of real sentences 99 % are valid by definition, and greedy ones are likelier than real ones: one
# invalid in five is no chance.
VALID_SHARE_MIN = 0.8
# A good sampler stays under 1.3 times the perplexity of real text.
PERPLEXITY_RATIO_MAX = 1.5

DRAWS = ("draws_valid_share", "draws_perplexity_ratio", "distinct_share")

DECODER_REMEDIES = (
    "raise training.word_dropout, so that the decoder has to take dropped words from the latent",
    "warm the encoder up as an autoencoder (training.autoencoder_steps), or take --preset edit",
)


class Finding(NamedTuple):
    """One finding of a check; a warning where the verdict is `healthy`."""

    verdict: Verdict
    sentence: str
    remedies: tuple[str, ...] = ()


Check = Callable[[Mapping[str, Any]], list[Finding]]


def checks(figures: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Check]]:
    """Return every check with the names of the figures that it needs to be numbers."""
    priors = ["standard"]
    if any(f"{name}_fitted" in figures for name in DRAWS):
        priors.append("fitted")
    draws = tuple(f"{name}_{prior}" for prior in priors for name in DRAWS)
    information = ("mutual_information_nats", "mutual_information_nats_max")
    return [
        (("kl_nats", "language_model_nats", "reconstruction_nats"), _check_informed),
        (("kl_nats", "language_model_nats", *information), _check_information),
        (("kl_nats", "active_units", "latent", "kl_nats_by_dimension"), _check_dimensions),
        (("reconstruction_valid_share",), _check_reconstructions),
        (("segment_valid_share", "segment_perplexity_ratio"), _check_segments),
        (draws, _check_draws),
        *([(("variation_adequacy",), _check_variations)] if "variation_systems" in figures else []),
    ]


def _check_informed(figures: Mapping[str, Any]) -> list[Finding]:
    """Check how many nats the latent saves the decoder against the KL that it costs."""
    kl, total = number_of(figures, "kl_nats"), number_of(figures, "language_model_nats")
    informed = total - number_of(figures, "reconstruction_nats")
    if not kl >= KL_NATS_MIN:
        sentence = (
            f"the KL is {kl:.2f} nats (kl_nats), at least {KL_NATS_MIN:g} is expected: the latent "
            "has hardly any information about a sentence"
        )
        remedy = f"raise training.target_kl_nats{suggested_rate(figures)}"
        return [Finding("under-informed", sentence, (remedy, DECODER_REMEDIES[0]))]
    if informed >= INFORMED_SHARE_MIN * kl:
        return []
    share = (
        f"of {kl:.1f} nats of KL the decoder uses {informed:.1f} (language_model_nats - "
        f"reconstruction_nats), at least {INFORMED_SHARE_MIN:.0%} is expected"
    )
    if informed >= INFORMED_SENTENCE_SHARE_MIN * total:
        sentence = f"{share}, and a sentence has no more than {total:.1f}: the rest is wasted"
        rate = suggested_rate(figures)
        remedy = f"set training.target_kl_nats{rate}; objective autoencoder has no rate"
        return [Finding("over-coded", sentence, (remedy,))]
    sentence = f"{share}: the rest is rate without use"
    longer = "train longer (training.steps)"
    return [Finding("under-informed", sentence, (*DECODER_REMEDIES, longer))]


def _check_information(figures: Mapping[str, Any]) -> list[Finding]:
    """Check the mutual information against its two ceilings."""
    information = number_of(figures, "mutual_information_nats")
    kl = number_of(figures, "kl_nats")
    ceiling = min(kl, number_of(figures, "mutual_information_nats_max"))
    measured = (
        f"mutual information is {information:.2f} nats (mutual_information_nats) where "
        f"{ceiling:.2f} are possible, the smaller of the KL and the logarithm of the sentences"
    )
    if information > ceiling + max(0.5, INFORMATION_EXCESS_MAX * ceiling):
        again = "evaluate on more sentences (evaluation.sentences)"
        return [Finding("unmeasured", f"{measured}: the estimate cannot be right", (again,))]
    if information >= INFORMATION_SHARE_MIN * ceiling:
        return []
    sentence = (
        f"{measured}, and at least {INFORMATION_SHARE_MIN:.0%} of that is expected: most of the KL "
        "moves all sentences together, away from the prior, and distinguishes none"
    )
    remedy = f"hold a rate with training.target_kl_nats{suggested_rate(figures)}, not with a floor"
    return [Finding("under-informed", sentence, (remedy, *DECODER_REMEDIES))]


def _check_dimensions(figures: Mapping[str, Any]) -> list[Finding]:
    """Check how the KL is spread over dimensions, for warnings."""
    units, latent = number_of(figures, "active_units"), number_of(figures, "latent")
    kl = number_of(figures, "kl_nats")
    largest = max(figures["kl_nats_by_dimension"], default=0.0)
    found = []
    if units < ACTIVE_SHARE_MIN * latent:
        sentence = (
            f"{units:.0f} of {latent:.0f} units are active (active_units), a quarter or more is "
            "usual: the others are computed and carry nothing"
        )
        narrower = f"a model.latent of {max(1, 2 * int(units))} would do, or raise the rate"
        found.append(Finding("healthy", sentence, (narrower,)))
    if latent > 2 and kl >= KL_NATS_MIN and largest > DIMENSION_SHARE_MAX * kl:
        sentence = (
            f"one dimension carries {largest:.1f} of {kl:.1f} nats (kl_nats_by_dimension), at most "
            f"{DIMENSION_SHARE_MAX:.0%} is usual: sentences lie on a line, not in a space"
        )
        spread = "raise training.free_bits, which gives every dimension some nats at no cost"
        found.append(Finding("healthy", sentence, (spread,)))
    return found


def _check_reconstructions(figures: Mapping[str, Any]) -> list[Finding]:
    """Check whether the sentences at the posterior means are valid."""
    share = number_of(figures, "reconstruction_valid_share")
    if share >= VALID_SHARE_MIN:
        return []
    sentence = (
        f"{share:.0%} of the reconstructions are valid sentences (reconstruction_valid_share), at "
        f"least {VALID_SHARE_MIN:.0%} is expected: the decoder has not learned the language"
    )
    longer = "train longer (training.steps) or with a larger model.hidden"
    less = "lower training.word_dropout, if it is above 0.4"
    return [Finding("poor-decoder", sentence, (longer, less))]


def _check_variations(figures: Mapping[str, Any]) -> list[Finding]:
    """Check how much rephrased variations say of their sources, for a warning."""
    adequacy = number_of(figures, "variation_adequacy")
    if adequacy >= ADEQUACY_MIN:
        return []
    sentence = (
        f"variations say little of their sentences: their adequacy is {adequacy:.2f} nats a token "
        f"(variation_adequacy), at least {ADEQUACY_MIN:g} is expected"
    )
    rate = "raise training.target_kl_nats, or train longer (training.steps)"
    groups = "see that the groups (data.group_column) are of sentences that say the same"
    return [Finding("healthy", sentence, (rate, groups))]


def _check_segments(figures: Mapping[str, Any]) -> list[Finding]:
    """Check the sentences that are decoded between held-out ones."""
    share = number_of(figures, "segment_valid_share")
    ratio = number_of(figures, "segment_perplexity_ratio")
    if share >= VALID_SHARE_MIN and ratio <= PERPLEXITY_RATIO_MAX:
        return []
    sentence = (
        f"between held-out sentences {share:.0%} of the decodes are valid (segment_valid_share, "
        f"at least {VALID_SHARE_MIN:.0%}) at {ratio:.3g} times the perplexity of real text "
        f"(segment_perplexity_ratio, at most {PERPLEXITY_RATIO_MAX:g})"
    )
    nearer = "lower training.target_kl_nats, so that neighbouring posteriors overlap"
    noise = "raise training.word_noise, so that near latents mean near sentences"
    return [Finding("invalid-decodes", sentence, (nearer, noise))]


def _check_draws(figures: Mapping[str, Any]) -> list[Finding]:
    """Check the sentences that draws of the priors decode to; those of the prior that is not the
    default only cause a warning."""
    fitted = "distinct_share_fitted" in figures
    invalid = [prior for prior in ("standard", "fitted") if _has_invalid_draws(figures, prior)]
    found = []
    for prior in invalid:
        default = prior == ("fitted" if fitted else "standard")
        draws = _describe_draws(figures, prior)
        sentence = f"draws from the {prior} prior decode to invalid sentences: {draws}"
        nearer = "lower training.target_kl_nats, so that posteriors fill the prior"
        if prior == "standard" and not fitted:
            remedies: tuple[str, ...] = (
                f"fit a prior ({job_command('evaluate')} does) and sample from it",
                nearer,
            )
        elif len(invalid) == 2:
            more = "raise evaluation.prior_components and evaluation.prior_sentences"
            remedies = (nearer, more)
        else:
            other = "fitted" if prior == "standard" else "standard"
            remedies = (
                f"sample from the {other} prior, whose draws are valid (prior = {other!r})",
            )
        found.append(Finding("invalid-decodes" if default else "healthy", sentence, remedies))
    return found


def _has_invalid_draws(figures: Mapping[str, Any], prior: str) -> bool:
    """Return whether draws of this prior decode to invalid sentences; False without the prior."""
    if f"{DRAWS[0]}_{prior}" not in figures:
        return False
    valid, ratio, distinct = (number_of(figures, f"{name}_{prior}") for name in DRAWS)
    fluent = valid >= VALID_SHARE_MIN and ratio <= PERPLEXITY_RATIO_MAX
    return not (fluent and distinct >= DISTINCT_SHARE_MIN)


def _describe_draws(figures: Mapping[str, Any], prior: str) -> str:
    """Describe the draws of this prior, with names and limits of the figures."""
    valid, ratio, distinct = (number_of(figures, f"{name}_{prior}") for name in DRAWS)
    aggregate = number_of(figures, "aggregate_kl_nats")
    distance = ""
    if prior == "standard" and math.isfinite(aggregate):
        distance = (
            f"; the KL of all posteriors together to it is up to {aggregate:.1f} nats "
            "(aggregate_kl_nats)"
        )
    return (
        f"{valid:.0%} are valid sentences (draws_valid_share_{prior}, at least "
        f"{VALID_SHARE_MIN:.0%}), at {ratio:.3g} times the perplexity of real text "
        f"(draws_perplexity_ratio_{prior}, at most {PERPLEXITY_RATIO_MAX:g}), {distinct:.0%} "
        f"are different (distinct_share_{prior}, at least {DISTINCT_SHARE_MIN:.0%}){distance}"
    )


def suggested_rate(figures: Mapping[str, Any]) -> str:
    """Suggest a rate to begin with: half of the information of a sentence."""
    total = number_of(figures, "language_model_nats")
    return f" (to about {total / 2:.1f}, half of language_model_nats)" if total > 0 else ""


def number_of(figures: Mapping[str, Any], name: str) -> float:
    """Return the figure, NaN where it is missing or no number; the sum of a list."""
    value = figures.get(name)
    if isinstance(value, list):
        return sum(number_of({name: part}, name) for part in value) if value else math.nan
    return float(value) if isinstance(value, int | float) else math.nan
