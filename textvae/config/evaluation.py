"""Settings of the evaluation of a version and of the gate."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textvae.ranges import SEED_MAX, check_settings

# Floors of the gate, by which the doctor and the watchdog judge too.
KL_NATS_MIN = 1.0
INFORMED_SHARE_MIN = 0.5
SHUFFLE_NATS_MIN = 1.0
DISTINCT_SHARE_MIN = 0.5
ADEQUACY_MIN = 0.1

# How candidates are drawn whose variations are measured: of how many one is chosen, how far from
# the posterior mean in its deviations, and at which temperature.
CANDIDATES, CANDIDATES_RADIUS, CANDIDATES_TEMPERATURE = 16, 0.7, 0.2


@dataclass(frozen=True)
class EvaluationConfig:
    """Figures of the held-out side, always at KL weight 1."""

    sentences: int = 1000
    """Held-out sentences that are evaluated, the first of the gate's holdout; 0 for all."""
    sealed_share: float = 0.2
    """Share of the test side, by hash, that no decision uses, to measure the gate's optimism."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device that likelihoods are computed on; decoding is always on the CPU."""
    importance_samples: int = 100
    """Samples k of the importance-weighted NLL (Burda et al. 2016)."""
    prior_draws: int = 200
    """Samples of each prior that are decoded to measure the distinct share."""
    prior_components: int = 32
    """Components of the fitted prior, a Gaussian mixture."""
    prior_sentences: int = 20_000
    """Training sentences that the fitted prior is learned from."""
    path_pairs: int = 100
    """Pairs of held-out sentences whose paths are checked for invalid decodes."""
    groups: int = 100
    """Held-out groups, of sentences that say the same, whose variations are measured; 0: none."""
    labelled_sentences: int = 2000
    """Most held-out sentences with a label that vectors are judged by, in cross-validation; 0:
    none."""
    generation_sentences: int = 0
    """Samples, and as many of the language model, that generation is scored on; 0: no scores."""
    judge_steps: int = 3000
    """Optimizer steps of the scorer that is trained on samples (reverse perplexity)."""
    seed: int = 0
    """Seed of all draws."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        counts = ("importance_samples", "prior_components", "prior_sentences", "judge_steps")
        check_settings(self, "evaluation", (*counts, "path_pairs"), 1)
        check_settings(self, "evaluation", ("prior_draws",), 1, 1024)
        check_settings(self, "evaluation", ("sentences", "generation_sentences", "groups"), 0)
        check_settings(self, "evaluation", ("labelled_sentences",), 0)
        check_settings(self, "evaluation", ("sealed_share",), 0, 0.5)
        check_settings(self, "evaluation", ("seed",), 0, SEED_MAX)


@dataclass(frozen=True)
class GateConfig:
    """Conditions under which a candidate may replace the champion."""

    sentences: int = 10_000
    """Held-out sentences of each set to compare on, oldest spans first, by hash; 0 for all."""
    kl_nats_min: float = KL_NATS_MIN
    """Floor of the KL, in nats per sentence."""
    informed_share_min: float = INFORMED_SHARE_MIN
    """Floor of (language-model nats - reconstruction nats) / KL."""
    shuffle_nats_min: float = SHUFFLE_NATS_MIN
    """Floor of the nats per sentence that shuffling latents among sentences costs."""
    distinct_min: float = DISTINCT_SHARE_MIN
    """Floor of the distinct share of greedy decodes of prior draws."""
    reconstruction_bleu_min: float = 0.0
    """Floor of the BLEU of reconstructions, 0 to 100; 0 for no floor."""
    adequacy_min: float = ADEQUACY_MIN
    """Floor of the adequacy of variations, in nats a token, where a version learned from groups."""
    groups: int = 1000
    """Held-out groups to compare the nats of siblings on, oldest spans first, by hash; 0: none."""
    sibling_worse_share_max: float = 0.03
    """Share of the champion's nats of siblings by which the paired 95 % bound may be worse."""
    canaries: tuple[Path, ...] = ()
    """Files of sentences, one per line, that a version must generate neither unprompted nor from
    their first half."""
    worse_share_max: float = 0.005
    """Share of the champion's ELBO by which the paired 95 % bound on the holdout may be worse."""
    champion_days_max: float = 7.0
    """Age of the champion, in days, from which a candidate need only be no worse; 0: always."""
    newest_valid: bool = False
    """Compare on the newest text's validation side too, which the candidate was tuned on."""
    strict: bool = False
    """End with exit code 3 when the candidate is rejected."""

    def __post_init__(self) -> None:
        """Raise InputError for a floor that every figure passes or none."""
        floors = ("kl_nats_min", "informed_share_min", "shuffle_nats_min", "distinct_min")
        check_settings(self, "gate", (*floors, "adequacy_min"), -math.inf)
        check_settings(self, "gate", ("worse_share_max", "sibling_worse_share_max"), -math.inf)
        check_settings(self, "gate", ("reconstruction_bleu_min",), 0, 100)
        check_settings(self, "gate", ("sentences", "champion_days_max", "groups"), 0)
