"""The rows of the quality table as data: what each changes, and the sizes of the two scales.

To add a row is to add an entry to ROWS; to tune a scale is to change its line in SCALES.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.errors import InputError
from textvae.presets import preset_of
from textvae.training.recipe import Recipe

LANGUAGE_MODEL = "language-model"


class Scale(NamedTuple):
    """Sizes and budget of a table; 0 in `latent` for that of each preset."""

    vocab: int
    embed: int
    hidden: int
    latent: int
    steps: int
    """Optimizer steps of a VAE; a third of them is the annealing, a third the warm-up before."""
    language_model_steps: int
    batch: int
    learning_rate: float
    likelihood_samples: int
    """Importance samples of the rows about the likelihood; 0: as many as of the others."""
    rows: tuple[str, ...]
    """Those of a table that names none."""


class Row(NamedTuple):
    """A configuration: a preset of textvae/presets.py and its changes."""

    preset: str
    description: str
    """A sentence for the table's legend."""
    model: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}
    likelihood: bool = False
    """Whether the row is about the likelihood, which more importance samples then measure."""


# Neither a warmed-up encoder nor anything that keeps the KL up; the best weights are selected as
# those of `lm` are, so that the rows differ by the recipe alone.
_BARE_MODEL = {"batchnorm_scale": 0.0}
_BARE = {
    "decoder_start": "new",
    "word_dropout": 0.0,
    "word_noise": 0.0,
    "free_bits": 0.0,
    "target_kl_nats": 0.0,
    "kl_schedule": "linear",
    "kl_start": 0.0,
    "select": "iw-nll",
}
_AT_ONCE = {**_BARE, "kl_start": 1.0, "kl_steps": 0}
# Over a billion steps of annealing the weight stays at 0.1 from the first step to the last.
_FIXED = {"target_kl_nats": 0.0, "kl_start": 0.1, "kl_steps": 1_000_000_000}


# Any number but 0: the scale says how many.
_WARMED_UP = {"autoencoder_steps": 1}


def _default_at(nats: float) -> Row:
    """Return `default` at another target of the KL."""
    description = f"`default` with the KL held at {nats:g} nats"
    return Row("default", description, training={"target_kl_nats": nats})


def _lm_at(nats: float) -> Row:
    """Return `lm` at another target of the KL."""
    description = f"`lm` with the KL held at {nats:g} nats"
    return Row("lm", description, training={"target_kl_nats": nats}, likelihood=True)


ROWS: dict[str, Row] = {
    "plain": Row(
        "lm",
        "the ELBO at KL weight 1 from the first step, and nothing against collapse",
        _BARE_MODEL,
        _AT_ONCE,
        likelihood=True,
    ),
    "annealing-only": Row(
        "lm", "`plain` with a KL weight that rises to 1", _BARE_MODEL, _BARE, likelihood=True
    ),
    "lm": Row("lm", "the preset `lm`: the best likelihood with a latent in use", likelihood=True),
    "lm-at-3": _lm_at(3.0),
    "lm-at-14": _lm_at(14.0),
    "lm-at-28": _lm_at(28.0),
    "lm-new-decoder": Row(
        "lm",
        "`lm` with a decoder that begins anew",
        training={"decoder_start": "new"},
        likelihood=True,
    ),
    "lm-warmed-up": Row(
        "lm",
        "`lm-new-decoder` whose encoder was warmed up as an autoencoder",
        training={"decoder_start": "new", **_WARMED_UP},
        likelihood=True,
    ),
    "lm-batchnorm": Row(
        "lm",
        "`lm` with BatchNorm on the means (scale 0.6) and free bits in place of a held KL",
        model={"batchnorm_scale": 0.6},
        training={"free_bits": 0.15, "target_kl_nats": 0.0},
        likelihood=True,
    ),
    "lm-batchnorm-only": Row(
        "lm",
        "`lm-batchnorm` without free bits",
        model={"batchnorm_scale": 0.6},
        training={"target_kl_nats": 0.0},
        likelihood=True,
    ),
    "lm-free-bits-only": Row(
        "lm",
        "`lm-batchnorm` without BatchNorm",
        training={"free_bits": 0.15, "target_kl_nats": 0.0},
        likelihood=True,
    ),
    "default": Row("default", "a middle rate: the KL held at 16 nats"),
    "default-without-word-noise": Row(
        "default", "`default` with every word shown to the encoder", training={"word_noise": 0.0}
    ),
    "default-without-word-dropout": Row(
        "default", "`default` with every word shown to the decoder", training={"word_dropout": 0.0}
    ),
    "default-without-target": Row(
        "default",
        "`default` at a KL weight of 0.1 throughout instead of a held KL",
        training=_FIXED,
    ),
    "default-at-4": _default_at(4.0),
    "default-at-8": _default_at(8.0),
    "default-at-24": _default_at(24.0),
    "default-fp32": Row(
        "default", "`default` with matrix products in fp32", training={"precision": "fp32"}
    ),
    "default-bf16": Row(
        "default", "`default` with matrix products in bf16", training={"precision": "bf16"}
    ),
    "edit": Row("edit", "the preset `edit`: rebuilds sentences, at a KL held at 40 nats"),
    "edit-at-80": Row(
        "edit",
        "`edit` with a latent of 256 and the KL held at 80 nats, every word shown",
        model={"latent": 256},
        training={"target_kl_nats": 80.0, "word_dropout": 0.0},
    ),
    "paraphrase": Row(
        "paraphrase",
        "the preset `paraphrase`: rephrases siblings at a share of 0.8, at a KL held at 64 nats",
    ),
    "paraphrase-at-half": Row(
        "paraphrase",
        "`paraphrase` at a share of 0.5",
        training={"sibling_share": 0.5},
    ),
    "paraphrase-without-siblings": Row(
        "paraphrase",
        "`paraphrase` that only rebuilds: its variations are drawn",
        training={"sibling_share": 0.0},
    ),
    "edit-at-160": Row(
        "edit",
        "`edit` for long sentences: a latent of 512 and the KL held at 160 nats, every word shown",
        model={"latent": 512},
        training={"target_kl_nats": 160.0, "word_dropout": 0.0},
    ),
}

SCALES = {
    "small": Scale(
        vocab=4000,
        embed=128,
        hidden=256,
        latent=0,
        steps=640,
        language_model_steps=640,
        batch=128,
        learning_rate=5e-3,
        likelihood_samples=0,
        # What needs groups of sentences that say the same is asked for by name.
        rows=(LANGUAGE_MODEL, *(name for name in ROWS if ROWS[name].preset != "paraphrase")),
    ),
    "full": Scale(
        vocab=8000,
        embed=256,
        hidden=512,
        latent=0,
        steps=5000,
        language_model_steps=4000,
        batch=512,
        learning_rate=2e-3,
        likelihood_samples=500,
        rows=(LANGUAGE_MODEL, "lm", "lm-batchnorm", "default", "edit", "edit-at-80"),
    ),
}

# The settings that the scale decides; all others are the preset's.
_BUDGET = (
    "steps",
    "language_model_steps",
    "batch",
    "kl_steps",
    "learning_rate",
    "warmup_steps",
    "validation_steps",
    "device",
    "checkpoint_s",
    "collapse_stops",
)


def scale_of(name: str, **overrides: float) -> Scale:
    """Return the scale of this name, with the overrides that are not 0."""
    changes: dict[str, Any] = {field: value for field, value in overrides.items() if value}
    return SCALES[name]._replace(**changes)


def check_rows(names: tuple[str, ...]) -> None:
    """Raise InputError for the first name that is not a row."""
    known = (LANGUAGE_MODEL, *ROWS)
    for name in names:
        if name not in known:
            raise InputError("rows", f"must be among {', '.join(known)}, got {name!r}")


def base_recipe(scale: Scale, **training: Any) -> Recipe:
    """Return what all rows of a table share; `training`: more settings, such as the device."""
    third = scale.steps // 3
    return Recipe(
        TokenizerConfig(vocab=scale.vocab),
        ModelConfig(embed=scale.embed, hidden=scale.hidden),
        TrainingConfig(
            steps=scale.steps,
            language_model_steps=scale.language_model_steps,
            batch=scale.batch,
            kl_steps=third,
            autoencoder_steps=third,
            learning_rate=scale.learning_rate,
            warmup_steps=min(200, scale.steps // 10),
            validation_steps=max(1, scale.steps // 10),
            # A collapsed row is a result too, and its other figures are measured.
            collapse_stops=False,
            **training,
        ),
    )


def row_recipe(name: str, base: Recipe, latent: int, seed: int) -> Recipe:
    """Return the recipe of a row; `latent` is the width of its latent, 0 for the preset's."""
    row = ROWS[name]
    preset = preset_of(row.preset)
    budget = {field: getattr(base.training, field) for field in _BUDGET}
    training = {**budget, **row.training, "seed": seed}
    if row.training.get("autoencoder_steps"):
        training["autoencoder_steps"] = base.training.autoencoder_steps
    sizes = {"embed": base.model.embed, "hidden": base.model.hidden}
    if latent:
        sizes["latent"] = latent
    return Recipe(
        base.tokenizer,
        dataclasses.replace(preset.model, **{**sizes, **row.model}),
        dataclasses.replace(preset.training, **training),
    )


def language_model_recipe(base: Recipe, dropout: float, seed: int) -> Recipe:
    """Return the recipe of one language model of the grid. Settings of a VAE have fixed values, so
    that tables whose VAEs differ share their language models."""
    training = base.training
    return base._replace(
        model=dataclasses.replace(base.model, dropout=dropout, latent=1),
        training=dataclasses.replace(
            training,
            seed=seed,
            steps=training.language_model_steps,
            validation_steps=max(1, training.language_model_steps // 10),
            kl_steps=0,
            autoencoder_steps=0,
        ),
    )
