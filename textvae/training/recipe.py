"""A recipe: everything that decides what is learned from a corpus."""

import dataclasses
from typing import NamedTuple

from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig


class Recipe(NamedTuple):
    """Everything that decides what is learned from a corpus."""

    tokenizer: TokenizerConfig
    model: ModelConfig
    training: TrainingConfig

    def resolve(self) -> "Recipe":
        """Return the recipe without the settings that its objective overrides: only that of a VAE
        has BatchNorm, free bits, a target KL, a selection by IW-NLL and a start of the decoder.

        `restart` is dropped too, since it is about a run and not about what is learned.
        """
        training = dataclasses.replace(self.training, restart=False)
        if training.objective == "vae":
            return self._replace(training=training)
        return self._replace(
            model=dataclasses.replace(self.model, batchnorm_scale=0.0),
            training=dataclasses.replace(
                training,
                free_bits=0.0,
                target_kl_nats=0.0,
                select="last",
                decoder_start="new",
            ),
        )
