"""What the doctor looks for in the figures of a version whose decoder listens, with the limits."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

Verdict = Literal[
    "healthy",
    "collapsed",
    "decoder-ignores-latent",
    "unmeasured",
    "under-informed",
    "over-coded",
    "poor-decoder",
    "holes",
]

# Less than this, 1.4 bits, answers hardly one question about a sentence.
KL_NATS_MIN = 1.0
# What a latent tells is paid for with the KL; the rest is rate that the decoder does not use. An
# honest VAE uses all but the gap of its bound, some tenths of the KL.
INFORMED_SHARE_MIN = 0.5
# With half of a sentence told, a decoder that uses less than half of the rate is not deaf: the rate
# is then above all there is to say.
TOLD_SHARE_MIN = 0.5
# Of the smaller of its two ceilings, the KL and the logarithm of the sentences: below half, most of
# the KL moves all posteriors together, off the prior, and tells no sentence from another.
INFORMATION_SHARE_MIN = 0.5
# One draw of each posterior estimates the information; what it exceeds its ceilings by more than
# this share, and half a nat, is an error and not chance.
INFORMATION_EXCESS_MAX = 0.1
# A dead dimension costs time and no quality, so that many of them are worth a word and no more.
ACTIVE_SHARE_MIN = 0.25
# A dimension that carries more than half of all is a queue of sentences and not a space.
DIMENSION_SHARE_MAX = 0.5
# Of real sentences 99 % are valid by definition, and greedy ones are likelier than real ones: one
# bad in five is no chance.
VALID_SHARE_MIN = 0.8
# A well-made sampler stays under 1.3 times real text; half more than real is another language.
PERPLEXITY_RATIO_MAX = 1.5
# As the gate has it: every second greedy draw must be a sentence of its own.
DISTINCT_SHARE_MIN = 0.5

DRAWS = ("draws_valid_share", "draws_perplexity_ratio", "distinct_share")

LISTEN = (
    "raise training.word_dropout, so that the decoder has to ask the latent for words it is denied",
    "warm the encoder up as an autoencoder (training.autoencoder_steps), or take --preset edit",
)


class Finding(NamedTuple):
    """One thing that a check has found; a warning where the verdict is `healthy`."""

    verdict: Verdict
    sentence: str
    remedies: tuple[str, ...] = ()


Check = Callable[[Mapping[str, Any]], list[Finding]]


def checks(figures: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Check]]:
    """Every check, with the figures that it needs to be numbers."""
    priors = ["standard"]
    if any(f"{name}_fitted" in figures for name in DRAWS):
        priors.append("fitted")
    draws = tuple(f"{name}_{prior}" for prior in priors for name in DRAWS)
    information = ("mutual_information_nats", "mutual_information_nats_max")
    return [
        (("kl_nats", "language_model_nats", "reconstruction_nats"), _told),
        (("kl_nats", "language_model_nats", *information), _information),
        (("kl_nats", "active_units", "latent", "kl_nats_by_dimension"), _dimensions),
        (("reconstruction_valid_share",), _reconstructions),
        (("segment_valid_share", "segment_perplexity_ratio"), _segments),
        (draws, _draws),
    ]


def _told(figures: Mapping[str, Any]) -> list[Finding]:
    """What the latent tells the decoder, against what it costs."""
    kl, known = number_of(figures, "kl_nats"), number_of(figures, "language_model_nats")
    told = known - number_of(figures, "reconstruction_nats")
    if not kl >= KL_NATS_MIN:
        sentence = (
            f"the KL is {kl:.2f} nats (kl_nats), at least {KL_NATS_MIN:g} is expected: the latent "
            "says hardly anything of a sentence"
        )
        remedy = f"raise training.target_kl_nats{suggested_rate(figures)}"
        return [Finding("under-informed", sentence, (remedy, LISTEN[0]))]
    if told >= INFORMED_SHARE_MIN * kl:
        return []
    share = (
        f"of {kl:.1f} nats of KL the decoder uses {told:.1f} (language_model_nats - "
        f"reconstruction_nats), at least {INFORMED_SHARE_MIN:.0%} is expected"
    )
    if told >= TOLD_SHARE_MIN * known:
        sentence = f"{share}, and a sentence has no more than {known:.1f}: the rest is wasted"
        rate = suggested_rate(figures)
        remedy = f"set training.target_kl_nats{rate}; objective autoencoder has no rate"
        return [Finding("over-coded", sentence, (remedy,))]
    sentence = f"{share}: the rest is paid for and not listened to"
    longer = "train longer (training.steps)"
    return [Finding("under-informed", sentence, (*LISTEN, longer))]


def _information(figures: Mapping[str, Any]) -> list[Finding]:
    """Mutual information against its two ceilings."""
    found = number_of(figures, "mutual_information_nats")
    kl = number_of(figures, "kl_nats")
    ceiling = min(kl, number_of(figures, "mutual_information_nats_max"))
    said = (
        f"mutual information is {found:.2f} nats (mutual_information_nats) where {ceiling:.2f} "
        "are possible, the smaller of the KL and the logarithm of the sentences"
    )
    if found > ceiling + max(0.5, INFORMATION_EXCESS_MAX * ceiling):
        again = "evaluate on more sentences (evaluation.sentences)"
        return [Finding("unmeasured", f"{said}: the estimate cannot be right", (again,))]
    if found >= INFORMATION_SHARE_MIN * ceiling:
        return []
    sentence = (
        f"{said}, and at least {INFORMATION_SHARE_MIN:.0%} of that is expected: most of the KL "
        "moves all sentences together, away from the prior, and tells none from another"
    )
    remedy = f"hold a rate with training.target_kl_nats{suggested_rate(figures)}, not with a floor"
    return [Finding("under-informed", sentence, (remedy, *LISTEN))]


def _dimensions(figures: Mapping[str, Any]) -> list[Finding]:
    """Warnings on how the KL is spread over dimensions."""
    units, latent = number_of(figures, "active_units"), number_of(figures, "latent")
    kl = number_of(figures, "kl_nats")
    largest = max(figures["kl_nats_by_dimension"], default=0.0)
    found = []
    if units < ACTIVE_SHARE_MIN * latent:
        sentence = (
            f"{units:.0f} of {latent:.0f} units are active (active_units), a quarter or more is "
            "usual: the others are computed and say nothing"
        )
        narrower = f"a model.latent of {max(1, 2 * int(units))} would do, or raise the rate"
        found.append(Finding("healthy", sentence, (narrower,)))
    if latent > 2 and kl >= KL_NATS_MIN and largest > DIMENSION_SHARE_MAX * kl:
        sentence = (
            f"one dimension carries {largest:.1f} of {kl:.1f} nats (kl_nats_by_dimension), at most "
            f"{DIMENSION_SHARE_MAX:.0%} is usual: sentences stand in a row, not in a space"
        )
        spread = "raise training.free_bits, which lets every dimension say something for nothing"
        found.append(Finding("healthy", sentence, (spread,)))
    return found


def _reconstructions(figures: Mapping[str, Any]) -> list[Finding]:
    """Whether sentences at the posterior means are sentences at all."""
    share = number_of(figures, "reconstruction_valid_share")
    if share >= VALID_SHARE_MIN:
        return []
    sentence = (
        f"{share:.0%} of the reconstructions are valid sentences (reconstruction_valid_share), at "
        f"least {VALID_SHARE_MIN:.0%} is expected: the decoder has not learned to write"
    )
    longer = "train longer (training.steps) or with a larger model.hidden"
    less = "lower training.word_dropout, if it is above 0.4"
    return [Finding("poor-decoder", sentence, (longer, less))]


def _segments(figures: Mapping[str, Any]) -> list[Finding]:
    """Holes between held-out sentences."""
    share = number_of(figures, "segment_valid_share")
    ratio = number_of(figures, "segment_perplexity_ratio")
    if share >= VALID_SHARE_MIN and ratio <= PERPLEXITY_RATIO_MAX:
        return []
    sentence = (
        f"between held-out sentences {share:.0%} of what is written is valid (segment_valid_share, "
        f"at least {VALID_SHARE_MIN:.0%}) at {ratio:.3g} times the perplexity of real text "
        f"(segment_perplexity_ratio, at most {PERPLEXITY_RATIO_MAX:g}): there are holes between "
        "sentences"
    )
    nearer = "lower training.target_kl_nats, so that neighbouring posteriors overlap"
    noise = "raise training.word_noise, so that near latents mean near sentences"
    return [Finding("holes", sentence, (nearer, noise))]


def _draws(figures: Mapping[str, Any]) -> list[Finding]:
    """Holes where the priors draw; only those of the prior that is drawn from by default are more
    than a warning."""
    fitted = "distinct_share_fitted" in figures
    holes = [prior for prior in ("standard", "fitted") if _has_holes(figures, prior)]
    found = []
    for prior in holes:
        default = prior == ("fitted" if fitted else "standard")
        sentence = f"draws from the {prior} prior have holes: {_drawn(figures, prior)}"
        nearer = "lower training.target_kl_nats, so that posteriors fill the prior"
        if prior == "standard" and not fitted:
            remedies: tuple[str, ...] = (
                "fit a prior (python -m jobs.evaluate does) and sample from it",
                nearer,
            )
        elif len(holes) == 2:
            more = "raise evaluation.prior_components and evaluation.prior_sentences"
            remedies = (nearer, more)
        else:
            other = "fitted" if prior == "standard" else "standard"
            remedies = (f"sample from the {other} prior, which has none (prior = {other!r})",)
        found.append(Finding("holes" if default else "healthy", sentence, remedies))
    return found


def _has_holes(figures: Mapping[str, Any], prior: str) -> bool:
    """Whether what this prior draws is not written well; never where it is not there."""
    if f"{DRAWS[0]}_{prior}" not in figures:
        return False
    valid, ratio, distinct = (number_of(figures, f"{name}_{prior}") for name in DRAWS)
    sound = valid >= VALID_SHARE_MIN and ratio <= PERPLEXITY_RATIO_MAX
    return not (sound and distinct >= DISTINCT_SHARE_MIN)


def _drawn(figures: Mapping[str, Any], prior: str) -> str:
    """What this prior draws, with names and limits."""
    valid, ratio, distinct = (number_of(figures, f"{name}_{prior}") for name in DRAWS)
    away = number_of(figures, "aggregate_kl_nats")
    off = ""
    if prior == "standard" and math.isfinite(away):
        off = f"; all posteriors together are up to {away:.1f} nats off it (aggregate_kl_nats)"
    return (
        f"{valid:.0%} are valid sentences (draws_valid_share_{prior}, at least "
        f"{VALID_SHARE_MIN:.0%}), at {ratio:.3g} times the perplexity of real text "
        f"(draws_perplexity_ratio_{prior}, at most {PERPLEXITY_RATIO_MAX:g}), {distinct:.0%} "
        f"are different (distinct_share_{prior}, at least {DISTINCT_SHARE_MIN:.0%}){off}"
    )


def suggested_rate(figures: Mapping[str, Any]) -> str:
    """A rate to begin with: half of what there is to say."""
    known = number_of(figures, "language_model_nats")
    return f" (to about {known / 2:.1f}, half of language_model_nats)" if known > 0 else ""


def number_of(figures: Mapping[str, Any], name: str) -> float:
    """The figure, NaN where it is missing or no number; of a list, its sum."""
    value = figures.get(name)
    if isinstance(value, list):
        return sum(number_of({name: part}, name) for part in value) if value else math.nan
    return float(value) if isinstance(value, int | float) else math.nan
