"""The phases of a run: how the VAE learns, its warm-up as an autoencoder, the language model."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from textvae.model.losses import vae_loss
from textvae.model.network import DropoutSpec, LanguageModel, SentenceVae
from textvae.model.schedules import KLController, kl_weight
from textvae.text.batches import TokenSource
from textvae.training.loop import Phase, Step
from textvae.training.recipe import Recipe
from textvae.training.validation import (
    check_collapse,
    held_out_kl_nats,
    validate_language_model,
    validate_vae,
    watched_steps,
)

BEGIN = KLController()


def vae_phase(
    vae: SentenceVae, recipe: Recipe, valid: TokenSource, begin: KLController = BEGIN
) -> Phase:
    """How the VAE learns; `begin` is the controller of its KL before the first step."""
    config = recipe.training

    def step(
        tokens: Tensor, lengths: Tensor, number: int, factor: float, chance: torch.Generator
    ) -> Step:
        weight = kl_weight(config, number) * factor
        loss = vae_loss(
            vae,
            tokens,
            lengths,
            objective=config.objective,
            kl_weight=weight,
            free_bits=config.free_bits,
            dropout=DropoutSpec(
                recipe.model.dropout, config.word_noise, config.word_dropout, chance
            ),
        )
        figures = {
            "reconstruction_nats": float(loss.reconstruction.detach()),
            "kl_nats": float(loss.kl.detach().sum()),
            "kl_weight": weight,
        }
        return Step(loss.total, figures)

    def hold(controller: KLController) -> KLController:
        return controller.after(held_out_kl_nats(vae, valid, config), config.target_kl_nats)

    def validate(number: int) -> Mapping[str, float]:
        figures = validate_vae(vae, valid, config)
        if config.objective != "autoencoder":
            check_collapse(figures, number, config)
        return figures

    looks = watched_steps(config) if config.objective != "autoencoder" else frozenset[int]()
    score = "valid_iw_nll_nats" if config.select == "iw-nll" else ""
    held = hold if config.target_kl_nats > 0 else None
    return Phase("vae", vae, config.steps, step, held, validate, looks, score, begin)


def warm_up_phase(vae: SentenceVae, recipe: Recipe, valid: TokenSource) -> Phase:
    """The VAE as an autoencoder, for an encoder that tells sentences apart (Li et al. 2019)."""
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
    """How the language model learns: the same decoder without a latent and without word dropout."""

    def step(
        tokens: Tensor, lengths: Tensor, number: int, factor: float, chance: torch.Generator
    ) -> Step:
        dropped = DropoutSpec(recipe.model.dropout, 0.0, 0.0, chance)
        nats = model.mean_nats(tokens, lengths, None, dropped)
        return Step(nats, {"reconstruction_nats": float(nats.detach())})

    def validate(number: int) -> Mapping[str, float]:
        return validate_language_model(model, valid, recipe.training)

    steps = recipe.training.language_model_steps
    return Phase("language-model", model, steps, step, validate=validate, score="valid_nats")
