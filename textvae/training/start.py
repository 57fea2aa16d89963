"""What a training begins from: new weights and a new vocabulary, or the champion's.

The vocabulary is frozen while versions begin from each other, for without its tokens weights mean
nothing: that is a lineage, named after the first 12 hex digits of its tokenizer's SHA-256. A fresh
start is a new lineage.
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
    """A version to begin from, its files verified by whoever opened it."""

    name: str
    folder: Path
    manifest: Mapping[str, Any]


class Start(NamedTuple):
    """What a training begins from."""

    why: str
    """In words, for the log and the job's line."""
    ancestor: Ancestor | None = None
    """None: new weights and a new vocabulary."""

    @property
    def kind(self) -> Literal["champion", "fresh"]:
        """As `training.start` says it."""
        return "champion" if self.ancestor else "fresh"


FRESH = Start("fresh: nothing else was asked for")


def choose_start(
    recipe: Recipe, corpus: Corpus, ancestor: Ancestor | None, *, obstacle: str = ""
) -> Start:
    """Whether this training begins from the ancestor (None: there is none), or fresh, and why.

    A champion that does not fit what is asked for is no error: whoever set other sizes or another
    vocabulary wants them, the gate decides about the version, and a night that nobody watches must
    not end every day until somebody says so twice. `obstacle` is what else forbids to begin from
    any ancestor, in words, and wins over all; empty for none.
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
    """The recipe as it runs from this start.

    A model that was trained needs neither annealing, which would empty its latent again, nor an
    autoencoder's or a language model's warm-up.
    """
    if start.ancestor is None:
        return recipe
    config = recipe.training
    steps = config.warm_steps or config.steps
    most = config.warm_steps or config.language_model_steps
    training = dataclasses.replace(
        config,
        steps=steps,
        language_model_steps=min(config.language_model_steps, most),
        autoencoder_steps=0,
        decoder_start="new",
        kl_schedule="linear",
        kl_steps=0,
    )
    return recipe._replace(training=training)


def training_text(recipe: Recipe, corpus: Corpus, start: Start) -> Replay:
    """The text that is learned from: all of it, or all new and a draw of the old sentences."""
    config = recipe.training
    if start.ancestor is None:
        return Replay(corpus, len(corpus.train), 0, 0)
    known = start.ancestor.manifest["spans"]
    return mix_replay(corpus, known, config.replay, config.replay_min, config.seed)


@torch.no_grad()
def load_start_weights(model: nn.Module, start: Start, file: str, recipe: Recipe) -> None:
    """Give the model, which has its first weights, those of the ancestor, shrunk and perturbed.

    The noise of Ash & Adams (2020) is the first weights themselves, which are of each layer's size
    and come from the seed. Nothing is done for a fresh start.
    """
    if start.ancestor is None:
        return
    known = load((start.ancestor.folder / file).read_bytes())
    shrink, perturb = recipe.training.shrink, recipe.training.perturb
    for name, value in model.state_dict().items():
        value.mul_(perturb).add_(known[name].to(value.device), alpha=shrink)


def initial_controller(recipe: Recipe, start: Start) -> KLController:
    """The controller of the KL as it begins: at the weight that the ancestor's KL had in the end.

    At 1 where nothing holds the KL, where the ancestor is fresh, or where it does not say.
    """
    if start.ancestor is None or recipe.training.target_kl_nats <= 0:
        return KLController()
    return KLController(float(start.ancestor.manifest.get("kl_weight", 1.0)))


def start_facts(recipe: Recipe, start: Start, text: Replay, tokenizer: bytes) -> dict[str, Any]:
    """What a manifest says of the start: with its parent and config.toml enough to repeat it."""
    facts: dict[str, Any] = {"start": start.kind, "lineage": lineage_of(tokenizer)}
    if start.ancestor is not None:
        facts["replay"] = {"new": text.new, "old": text.old, "known": text.known}
        facts["shrink"] = recipe.training.shrink
        facts["perturb"] = recipe.training.perturb
    return facts


def lineage_of(tokenizer: bytes) -> str:
    """The name of the lineage of all versions with this tokenizer."""
    return hashlib.sha256(tokenizer).hexdigest()[:12]


def _misfit(recipe: Recipe, ancestor: Ancestor) -> str:
    """Why the recipe cannot go on from the ancestor's files, in words; empty where it can."""
    theirs = ancestor.manifest["model_config"]
    for name in ("embed", "hidden", "latent"):
        wanted = getattr(recipe.model, name)
        if theirs.get(name) != wanted:
            return f"model.{name} is {wanted} now and {theirs.get(name)} there"
    if recipe.resolved().model.batchnorm_scale > 0:
        return "a published version has no BatchNorm, which model.batchnorm_scale asks for"
    if other := _other_tokenizer(recipe.tokenizer, ancestor.folder / CONFIG_FILE):
        return other
    vocab = tokenizer_of(ancestor.folder).vocab
    with torch.device("meta"):
        models = {
            VAE_FILE: SentenceVae(_plain(recipe.model), vocab),
            LANGUAGE_MODEL_FILE: LanguageModel(_plain(recipe.model), vocab),
        }
    for file, model in models.items():
        shapes = {name: value.shape for name, value in model.state_dict().items()}
        known = load((ancestor.folder / file).read_bytes())
        if {name: value.shape for name, value in known.items()} != shapes:
            return f"its {file} is of another network than this textvae's"
        if not all(value.isfinite().all() for value in known.values()):
            return f"its {file} has values that are not finite"
    return ""


def _plain(model: ModelConfig) -> ModelConfig:
    """The sizes of a published version, whose BatchNorm is folded."""
    return dataclasses.replace(model, batchnorm_scale=0.0)


def _other_tokenizer(wanted: TokenizerConfig, config: Path) -> str:
    """Which setting of the tokenizer is another than in the ancestor's config; empty for none."""
    try:
        theirs = to_mapping(read_toml(config)["tokenizer"])
    except TextVaeError as error:
        return f"its settings are not of this textvae ({error})"
    for name, value in to_mapping(wanted).items():
        if theirs[name] != value:
            return f"tokenizer.{name} is {value} now and {theirs[name]} there"
    return ""


def _missing_span(corpus: Corpus, ancestor: Ancestor) -> str:
    """Which text the ancestor learned that is no longer there; what is gone must not live on."""
    there = dict(zip(corpus.names, corpus.hashes, strict=True))
    for name, sha256 in ancestor.manifest["spans"].items():
        if there.get(name) != sha256:
            return f"it learned from {name}, which is no longer there or no longer the same"
    return ""
