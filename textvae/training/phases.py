"""The phases of a run: the VAE, its warm-up as an autoencoder, and the language model."""

import dataclasses
import functools
from collections.abc import Mapping

import torch

from textvae.model.losses import vae_loss
from textvae.model.network import DropoutSpec, LanguageModel, SentenceVae
from textvae.model.schedules import KLController, kl_weight
from textvae.model.tensors import PairTensors
from textvae.text.batches import TokenSource
from textvae.text.siblings import Siblings
from textvae.training.loop import Phase, StepLoss
from textvae.training.recipe import Recipe
from textvae.training.validation import (
    check_collapse,
    held_out_kl_nats,
    validate_language_model,
    validate_siblings,
    validate_vae,
    watched_steps,
)

NEUTRAL_CONTROLLER = KLController()
"""Leaves the KL weight as the schedule has it."""


def vae_phase(
    vae: SentenceVae,
    recipe: Recipe,
    valid: TokenSource,
    initial_controller: KLController = NEUTRAL_CONTROLLER,
    siblings: Siblings | None = None,
) -> Phase:
    """Return the phase of the VAE, which minimizes reconstruction + weight * KL.

    `siblings`: those of the held-out sentences, where rephrasing is learned.
    """
    config = recipe.training

    def kl_control(controller: KLController) -> KLController:
        return controller.after(held_out_kl_nats(vae, valid, config), config.target_kl_nats)

    def validation(step: int) -> Mapping[str, float]:
        figures = validate_vae(vae, valid, config)
        if siblings is not None:
            figures = {**figures, **validate_siblings(vae, valid, siblings, config)}
        if config.objective != "autoencoder":
            check_collapse(figures, step, config)
        return figures

    return Phase(
        "vae",
        vae,
        config.steps,
        functools.partial(vae_step, vae, recipe),
        kl_control if config.target_kl_nats > 0 else None,
        validation,
        watched_steps(config) if config.objective != "autoencoder" else frozenset(),
        "valid_iw_nll_nats" if config.select == "iw-nll" else "",
        initial_controller,
    )


def vae_step(
    vae: SentenceVae,
    recipe: Recipe,
    batch: PairTensors,
    step: int,
    factor: float,
    generator: torch.Generator,
) -> StepLoss:
    """Return the loss of a batch at this step; `factor` is the controller's, of the KL weight."""
    config = recipe.training
    weight = kl_weight(config, step) * factor
    loss = vae_loss(
        vae,
        batch.tokens,
        batch.lengths,
        read=batch.read,
        objective=config.objective,
        kl_weight=weight,
        free_bits=config.free_bits,
        dropout=DropoutSpec(
            recipe.model.dropout, config.word_noise, config.word_dropout, generator
        ),
    )
    nats = {
        "reconstruction_nats": float(loss.reconstruction.detach()),
        "kl_nats": float(loss.kl.detach().sum()),
    }
    return StepLoss(loss.total, nats, {"kl_weight": weight})


def warm_up_phase(vae: SentenceVae, recipe: Recipe, valid: TokenSource) -> Phase:
    """Return the phase that trains the VAE as an autoencoder first, so that its encoder already
    separates sentences when the KL sets in (Li et al. 2019)."""
    config = dataclasses.replace(
        recipe.training,
        objective="autoencoder",
        steps=recipe.training.autoencoder_steps,
        select="last",
        target_kl_nats=0.0,
    )
    phase = vae_phase(vae, recipe._replace(training=config), valid)
    return phase._replace(name="autoencoder")


def language_model_phase(model: LanguageModel, recipe: Recipe, valid: TokenSource) -> Phase:
    """Return the phase of the language model: the same decoder without latent and word dropout."""

    def training_step(
        batch: PairTensors, step: int, factor: float, generator: torch.Generator
    ) -> StepLoss:
        dropout = DropoutSpec(recipe.model.dropout, 0.0, 0.0, generator)
        nats = model.mean_nats(batch.tokens, batch.lengths, None, dropout)
        return StepLoss(nats, {"reconstruction_nats": float(nats.detach())})

    def validation(step: int) -> Mapping[str, float]:
        return validate_language_model(model, valid, recipe.training)

    return Phase(
        "language-model",
        model,
        recipe.training.language_model_steps,
        training_step,
        validation=validation,
        selection_score="valid_nats",
    )
