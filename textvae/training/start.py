"""What a training begins from: new weights and a new vocabulary, or the champion's.

Versions that begin from each other share one vocabulary, since weights mean nothing under another:
they are a lineage, whose name is the first 12 hex digits of its tokenizer's SHA-256. A fresh start
begins a new lineage.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import load
from torch import nn

from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig
from textvae.corpus.replay import Replay, mix_replay
from textvae.corpus.spans import Corpus
from textvae.errors import TextVaeError
from textvae.model.network import LanguageModel, SentenceVae
from textvae.model.schedules import KLController
from textvae.settings import read_toml, to_mapping
from textvae.training.recipe import Recipe
from textvae.version_files import CONFIG_FILE, LANGUAGE_MODEL_FILE, VAE_FILE, tokenizer_of

log = logging.getLogger(__name__)


class Ancestor(NamedTuple):
    """A version to begin from, whose files were verified when it was opened."""

    name: str
    """Name of the version."""
    folder: Path
    """Where its files lie."""
    manifest: Mapping[str, Any]
    """Its manifest."""


class Start(NamedTuple):
    """What a training begins from."""

    why: str
    """The reason in words, for the log and the job's result."""
    ancestor: Ancestor | None = None
    """The version to begin from; None: new weights and a new vocabulary."""

    @property
    def kind(self) -> Literal["champion", "fresh"]:
        """Return the start in the words of the setting `training.start`."""
        return "champion" if self.ancestor else "fresh"


FRESH = Start("fresh: nothing else was asked for")


def choose_start(
    recipe: Recipe, corpus: Corpus, ancestor: Ancestor | None, *, obstacle: str = ""
) -> Start:
    """Return the start: the ancestor, or fresh weights where it cannot be used or is None.

    An ancestor that does not fit the recipe is no error: other sizes or another vocabulary were set
    on purpose, the gate decides about the version, and an unattended nightly run must not fail
    every day until the setting is repeated. `obstacle` says in words why no ancestor may be used,
    whichever it is; empty for none.
    """
    if recipe.training.start == "fresh":
        return Start('fresh: training.start is "fresh"')
    if obstacle:
        return Start(f"fresh: {obstacle}")
    if ancestor is None:
        return Start("fresh: no version serves yet")
    if problem := _misfit(recipe, ancestor) or _missing_span(corpus, ancestor):
        return Start(f"fresh: {ancestor.name} serves, but {problem}")
    return Start(f"champion: the weights and the vocabulary of {ancestor.name}", ancestor)


def recipe_from_start(recipe: Recipe, start: Start) -> Recipe:
    """Return the recipe as it is executed from this start.

    A trained model needs no annealing, which would empty its latent again, and no warm-up as an
    autoencoder or from a language model.
    """
    if start.ancestor is None:
        return recipe
    config = recipe.training
    steps = config.warm_steps or config.steps
    language_model_steps_max = config.warm_steps or config.language_model_steps
    training = dataclasses.replace(
        config,
        steps=steps,
        language_model_steps=min(config.language_model_steps, language_model_steps_max),
        autoencoder_steps=0,
        decoder_start="new",
        kl_schedule="linear",
        kl_steps=0,
    )
    return recipe._replace(training=training)


def training_text(recipe: Recipe, corpus: Corpus, start: Start) -> Replay:
    """Return the text that is learned from: from a fresh start all of it, else all new sentences
    and a draw of the old ones."""
    config = recipe.training
    if start.ancestor is None:
        return Replay(corpus, len(corpus.train), 0, 0)
    learned = start.ancestor.manifest["spans"]
    return mix_replay(corpus, learned, config.replay, config.replay_min, config.seed)


@torch.no_grad()
def load_start_weights(model: nn.Module, start: Start, file: str, recipe: Recipe) -> None:
    """Replace the model's initial weights by shrink * ancestor + perturb * initial weights.

    The initial weights are the noise of Ash & Adams (2020): they have each layer's scale and come
    from the seed. A fresh start leaves them as they are.
    """
    if start.ancestor is None:
        return
    weights = load((start.ancestor.folder / file).read_bytes())
    shrink, perturb = recipe.training.shrink, recipe.training.perturb
    for name, value in model.state_dict().items():
        value.mul_(perturb).add_(weights[name].to(value.device), alpha=shrink)


def initial_controller(recipe: Recipe, start: Start) -> KLController:
    """Return the initial controller of the KL, at the final KL weight of the ancestor.

    It is at 1 for a fresh start, without a target KL, and where the manifest has no such weight.
    """
    if start.ancestor is None or recipe.training.target_kl_nats <= 0:
        return KLController()
    return KLController(float(start.ancestor.manifest.get("kl_weight", 1.0)))


def start_facts(recipe: Recipe, start: Start, text: Replay, tokenizer: bytes) -> dict[str, Any]:
    """Return what the manifest says of the start; parent and config.toml have the rest of it."""
    facts: dict[str, Any] = {"start": start.kind, "lineage": lineage_of(tokenizer)}
    if start.ancestor is not None:
        facts["replay"] = {"new": text.new, "old": text.old, "known": text.known}
        facts["shrink"] = recipe.training.shrink
        facts["perturb"] = recipe.training.perturb
    return facts


def lineage_of(tokenizer: bytes) -> str:
    """Return the name of the lineage of all versions with this tokenizer."""
    return hashlib.sha256(tokenizer).hexdigest()[:12]


def _misfit(recipe: Recipe, ancestor: Ancestor) -> str:
    """Return in words why the recipe cannot begin from the ancestor; empty where it can."""
    sizes = ancestor.manifest["model_config"]
    for name in ("embed", "hidden", "latent"):
        size = getattr(recipe.model, name)
        if sizes.get(name) != size:
            return f"model.{name} is {size} now and {sizes.get(name)} there"
    if recipe.resolve().model.batchnorm_scale > 0:
        return "a published version has no BatchNorm, which model.batchnorm_scale asks for"
    if difference := _tokenizer_difference(recipe.tokenizer, ancestor.folder / CONFIG_FILE):
        return difference
    vocab = tokenizer_of(ancestor.folder).vocab
    with torch.device("meta"):
        models = {
            VAE_FILE: SentenceVae(_without_batchnorm(recipe.model), vocab),
            LANGUAGE_MODEL_FILE: LanguageModel(_without_batchnorm(recipe.model), vocab),
        }
    for file, model in models.items():
        shapes = {name: value.shape for name, value in model.state_dict().items()}
        weights = load((ancestor.folder / file).read_bytes())
        if {name: value.shape for name, value in weights.items()} != shapes:
            return f"its {file} is of another network than this textvae's"
        if not all(value.isfinite().all() for value in weights.values()):
            return f"its {file} has values that are not finite"
    return ""


def _without_batchnorm(model: ModelConfig) -> ModelConfig:
    """Return the sizes of a published version, whose BatchNorm is folded."""
    return dataclasses.replace(model, batchnorm_scale=0.0)


def _tokenizer_difference(requested: TokenizerConfig, config: Path) -> str:
    """Return in words which setting of the tokenizer differs; empty for none."""
    try:
        settings = to_mapping(read_toml(config)["tokenizer"])
    except TextVaeError as error:
        return f"its settings are not of this textvae ({error})"
    for name, value in to_mapping(requested).items():
        if settings[name] != value:
            return f"tokenizer.{name} is {value} now and {settings[name]} there"
    return ""


def _missing_span(corpus: Corpus, ancestor: Ancestor) -> str:
    """Return which text the ancestor learned from is missing, in words; empty for none.

    Text that was removed must not persist in weights.
    """
    hashes = dict(zip(corpus.names, corpus.hashes, strict=True))
    for name, sha256 in ancestor.manifest["spans"].items():
        if hashes.get(name) != sha256:
            return f"it learned from {name}, which is no longer there or no longer the same"
    return ""
