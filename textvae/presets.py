"""Recipes by name: where between the best likelihood and the best editing a model stands.

The defaults of the settings stand in the middle of the dial: a held rate of 16 nats, words hidden
from the encoder, so that near latents mean near sentences, and from the decoder, so that it
listens. A preset replaces defaults, a TOML file replaces what the preset says, a flag both.
"""

from typing import NamedTuple

from textvae.config.training import ModelConfig, TrainingConfig
from textvae.errors import InputError


class Preset(NamedTuple):
    """The sections that a recipe decides."""

    model: ModelConfig
    training: TrainingConfig


# The middle of the dial.
DEFAULT = Preset(ModelConfig(), TrainingConfig())

# Rebuilds sentences, walks between them and varies them: many nats in a wide latent. Its samples
# come from a prior fitted afterwards.
EDIT = Preset(
    ModelConfig(latent=128), TrainingConfig(target_kl_nats=40.0, word_noise=0.0, word_dropout=0.1)
)

# The best likelihood with a latent that is used: a few nats, held; the decoder begins as the
# trained language model; the weights kept are those of the best held-out IW-NLL. At the small
# scale this was 2 nats better on captions than an encoder warmed up as an autoencoder and a new
# decoder (Li et al. 2019), for as much arithmetic. BatchNorm on the means with free bits (Zhu et
# al. 2020; Kingma et al. 2016) in place of the held rate was half a nat worse at nearly the same KL
# at full size.
LM = Preset(
    ModelConfig(latent=32, dropout=0.25),
    TrainingConfig(
        decoder_start="language-model",
        word_dropout=0.0,
        word_noise=0.0,
        target_kl_nats=7.0,
        select="iw-nll",
    ),
)

PRESETS = {"default": DEFAULT, "edit": EDIT, "lm": LM}


def preset_of(name: str) -> Preset:
    """The recipe of this name; InputError where there is none."""
    if name not in PRESETS:
        raise InputError("preset", f"must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]
