"""How often a run sees its sentences, and from where on more of that does not help."""

import logging
from collections.abc import Mapping
from typing import Any

from textvae.config.training import TrainingConfig
from textvae.training.recipe import epoch_steps

log = logging.getLogger(__name__)

EPOCHS_MAX = 50.0
"""Epochs up to which held-out figures went on improving where it was measured (README of jobs)."""


def epochs_of(steps: int, sentences: int, batch: int) -> float:
    """Return how often so many steps see each of the sentences."""
    return steps / epoch_steps(sentences, batch)


def epochs_facts(manifest: Mapping[str, Any], batch: int) -> dict[str, Any]:
    """Return the epochs of a version's VAE, by its manifest, and a warning where they are too
    many."""
    steps, sentences = manifest["steps"]["vae"], manifest["train_sentences"]
    epochs = epochs_of(steps, sentences, batch)
    warning = epochs_warning(steps, sentences, batch)
    return {"epochs": round(epochs, 2), **({"warnings": [warning]} if warning else {})}


def epochs_warning(steps: int, sentences: int, batch: int) -> str:
    """Return why fewer steps would do as well; empty where they are not too many."""
    epochs = epochs_of(steps, sentences, batch)
    if epochs <= EPOCHS_MAX:
        return ""
    enough = round(EPOCHS_MAX * epoch_steps(sentences, batch))
    return (
        f"{steps:,} steps are {epochs:,.0f} epochs of {sentences:,} sentences, and more than "
        f"{EPOCHS_MAX:g} have not helped where it was measured: set training.epochs, or "
        f"training.steps to {enough:,} or fewer, or give more text"
    )


def log_epochs(requested: TrainingConfig, run: TrainingConfig, sentences: int) -> None:
    """Log how many epochs the run is, and what `training.epochs` made of the steps.

    `requested` is as it was set, `run` as it is executed.
    """
    epochs = epochs_of(run.steps, sentences, run.batch)
    log.info(
        "%d steps of %d sentences: %.3g epochs of %d sentences",
        *(run.steps, run.batch, epochs, sentences),
    )
    if requested.epochs:
        names = ("steps", "language_model_steps", "kl_steps", "warmup_steps")
        made = ", ".join(
            f"{name} {getattr(run, name)}"
            for name in names
            if getattr(run, name) != getattr(requested, name)
        )
        log.info("training.epochs %g wins: %s", requested.epochs, made or "nothing changes")
    if warning := epochs_warning(run.steps, sentences, run.batch):
        log.warning("%s", warning)
