"""`python -m tests.drills.watchdog`: collapses end in time, and a healthy run is let be."""

import contextlib
import dataclasses
import functools
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tests.drills.line import Found, run_drill
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.spans import Corpus
from textvae.corpus.toy_grammar import sample
from textvae.errors import CollapsedError
from textvae.model import network
from textvae.training.recipe import Recipe
from textvae.training.run import train

log = logging.getLogger(__name__)

SHUFFLE_NATS_HEALTHY = 5.0
"""What shuffling must cost at the end of a run that is called healthy: half of what a sentence of
the grammar holds, and far above the watchdog's limit."""

HEALTHY = Recipe(
    TokenizerConfig(vocab=600, kind="bpe"),
    ModelConfig(embed=48, hidden=64, latent=16, dropout=0.0),
    TrainingConfig(
        steps=450,
        language_model_steps=1,
        batch=64,
        learning_rate=1e-2,
        warmup_steps=30,
        word_dropout=0.5,
        word_noise=0.0,
        kl_steps=300,
        target_kl_nats=7.0,
        precision="fp32",
        validation_steps=0,
    ),
)
"""The cheapest recipe of which every seed learns a latent that is used."""


class Forced(NamedTuple):
    """A recipe that must collapse, and whether its decoder is cut off from the latent."""

    recipe: Recipe
    cut: bool = False


def _plain(**settings: float | str) -> Recipe:
    """The healthy recipe without what keeps it healthy: the KL weighs a half from the start."""
    training = dataclasses.replace(
        HEALTHY.training,
        steps=330,
        word_dropout=0.0,
        kl_start=0.5,
        kl_steps=300,
        target_kl_nats=0.0,
        **settings,  # type: ignore[arg-type]
    )
    return HEALTHY._replace(training=training)


def forced() -> dict[str, Forced]:
    """Three ways into collapse, by name.

    The third holds the KL up: a floor of free bits under a BatchNorm whose scale makes just that
    KL, so that nothing presses on it, in front of a decoder that never sees a latent.
    """
    guarded = dataclasses.replace(HEALTHY.model, batchnorm_scale=0.9)
    return {
        "annealing-only": Forced(_plain()),
        "kl-only": Forced(_plain(objective="kl-only")),
        "batchnorm-cut": Forced(_plain(free_bits=0.4)._replace(model=guarded), cut=True),
    }


class CutDecoder(network.Decoder):
    """A decoder that is cut off from its latent, in training and in the weights that it leaves."""

    def __init__(self, config: ModelConfig, vocab: int, latent: int) -> None:
        super().__init__(config, vocab, latent)
        with torch.no_grad():
            self.gru.weight_ih_l0[:, config.embed :] = 0
            self.output.weight[:, config.hidden :] = 0
            if self.start is not None:
                self.start.weight.zero_()

    # Zeros in place of the latents, so that none of the weights above ever moves.

    def states(self, embedded: Tensor, latents: Tensor | None) -> Tensor:
        return super().states(embedded, None if latents is None else torch.zeros_like(latents))

    def outputs(self, states: Tensor, latents: Tensor | None, owner: Tensor) -> Tensor:
        deaf = None if latents is None else torch.zeros_like(latents)
        return super().outputs(states, deaf, owner)


@contextlib.contextmanager
def cut_off(cut: bool = True) -> Iterator[None]:
    """Inside, every new network has a CutDecoder."""
    whole = network.Decoder
    network.Decoder = CutDecoder if cut else whole  # type: ignore[misc]
    try:
        yield
    finally:
        network.Decoder = whole  # type: ignore[misc]


@functools.cache
def corpus() -> Corpus:
    """4,000 sentences of the toy grammar to learn from and 300 on each other side."""
    rows = sample(4600, seed=0)
    return Corpus(rows[600:], rows[:300], rows[300:600], ("toy",), ("0" * 64,))


class Ran(NamedTuple):
    """How a run ended."""

    fired: int
    """The step at which the watchdog ended it; 0 where it did not."""
    shuffle_nats: float
    """Of the newest validation step that passed; 0 where none did."""


def ran(recipe: Recipe, cut: bool, seed: int) -> Ran:
    """A run of the recipe with this seed, in a folder of its own."""
    seeded = recipe._replace(training=dataclasses.replace(recipe.training, seed=seed))
    fired = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            with cut_off(cut):
                train(seeded, corpus(), Path(folder), "", lambda *_: None)
        except CollapsedError as error:
            # Without a step in the message there is none to find, and the drill ends here.
            fired = int(re.findall(r"^step (\d+): ", str(error))[0])
        metrics = Path(folder) / "metrics.jsonl"
        lines = metrics.read_text().splitlines() if metrics.exists() else []
    validations = [json.loads(line).get("valid_shuffle_nats") for line in lines]
    return Ran(fired, next((nats for nats in reversed(validations) if nats is not None), 0.0))


def drill(quick: bool) -> Found:
    """Every recipe with five seeds (quick: one)."""
    seeds = range(1 if quick else 5)
    healthy = _every("healthy", HEALTHY, False, seeds)
    figures: dict[str, float] = {
        "seeds": len(seeds),
        "healthy_fired": sum(found.fired > 0 for found in healthy),
        "healthy_shuffle_nats_min": min(found.shuffle_nats for found in healthy),
    }
    targets: dict[str, float] = {
        "healthy_fired": 0,
        "healthy_shuffle_nats_min": SHUFFLE_NATS_HEALTHY,
    }
    held = figures["healthy_fired"] == 0
    held = held and figures["healthy_shuffle_nats_min"] >= SHUFFLE_NATS_HEALTHY
    for name, (recipe, cut) in forced().items():
        ended = _every(name, recipe, cut, seeds)
        in_time = sum(0 < found.fired <= recipe.training.kl_steps for found in ended)
        figures[f"{name}_fired_in_annealing"] = in_time
        figures[f"{name}_step_max"] = max(found.fired for found in ended)
        targets[f"{name}_fired_in_annealing"] = len(seeds)
        held = held and in_time == len(seeds)
    return Found(figures, targets, held)


def _every(name: str, recipe: Recipe, cut: bool, seeds: range) -> list[Ran]:
    """The recipe's runs, each said in the log."""
    found = []
    for seed in seeds:
        found.append(ran(recipe, cut, seed))
        log.info("%s, seed %d: %s", name, seed, _no_progress(found[-1]))
    return found


def _no_progress(found: Ran) -> str:
    """Whether and when the watchdog fired."""
    if found.fired:
        return f"the watchdog fired at step {found.fired}"
    return f"it never fired, and shuffling costs {found.shuffle_nats:.1f} nats"


if __name__ == "__main__":
    run_drill("watchdog", drill)
