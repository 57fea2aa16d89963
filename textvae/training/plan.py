"""What a run trains and what its manifest says, derived once from the settings and the start."""

import dataclasses
from typing import NamedTuple

from textvae.training.recipe import Recipe
from textvae.training.start import Start, recipe_from_start


class TrainingPlan(NamedTuple):
    """The recipes of one run: as it is published and as it is executed."""

    manifest: Recipe
    """What config.toml and the manifest of the version say, and what names the run: the requested
    recipe without settings that its objective overrides and without `restart`."""
    run: Recipe
    """What is executed: `manifest` with the steps that its epochs are, with the steps and the
    schedule of a warm start where the run begins from a champion, and `restart` as requested."""


def plan_training(requested: Recipe, start: Start, sentences: int) -> TrainingPlan:
    """Return the plan of a run from this start whose settings are `requested` and that learns from
    so many sentences."""
    manifest = requested.resolve()
    training = dataclasses.replace(manifest.training, restart=requested.training.restart)
    executed = manifest._replace(training=training).in_steps(sentences)
    run = recipe_from_start(executed, start)
    return TrainingPlan(manifest, run)


def phase_steps(recipe: Recipe) -> dict[str, int]:
    """Return the steps of each phase that the recipe has, by the phase's name."""
    config = recipe.training
    steps = {"vae": config.steps, "language-model": config.language_model_steps}
    if config.autoencoder_steps:
        steps["autoencoder"] = config.autoencoder_steps
    return steps
