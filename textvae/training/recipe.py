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

    def in_steps(self, sentences: int) -> "Recipe":
        """Return the recipe with the steps that its epochs are of so many sentences.

        What rises at the beginning, the KL weight and the learning rate, then takes half and a
        tenth of the steps at most. Without epochs the recipe stays as it is.
        """
        config = self.training
        if not config.epochs:
            return self
        steps = max(1, round(config.epochs * epoch_steps(sentences, config.batch)))
        training = dataclasses.replace(
            config,
            epochs=0.0,
            steps=steps,
            language_model_steps=steps,
            kl_steps=min(config.kl_steps, steps // 2),
            warmup_steps=min(config.warmup_steps, steps // 10),
        )
        return self._replace(training=training)

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


def epoch_steps(sentences: int, batch: int) -> int:
    """Return the steps that see each sentence once, as `Batches` has them."""
    return -(-sentences // batch)
