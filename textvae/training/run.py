"""A whole run: tokenizer, VAE, language model, and the files of a version."""

import dataclasses
import hashlib
import importlib.metadata
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from textvae import files
from textvae.config import ModelConfig, TokenizerConfig, TrainingConfig
from textvae.errors import DataError
from textvae.model.losses import vae_loss
from textvae.model.native import native_to_learn
from textvae.model.network import (
    Dropped,
    LanguageModel,
    SentenceVae,
    begin_as,
    fold_batchnorm,
    reset_decoder,
)
from textvae.model.products import PANEL
from textvae.model.schedules import RateHolder, kl_weight
from textvae.settings import to_mapping, to_toml
from textvae.text.batches import Batches, TokenSource
from textvae.text.spans import Corpus
from textvae.text.tokenized import token_source
from textvae.text.tokenizer import Tokenizer, drawn, train_tokenizer
from textvae.training.loop import Phase, Step, Tell, arithmetic, fit
from textvae.training.ranks import current
from textvae.training.validation import (
    held_out_kl_nats,
    look,
    look_at_language_model,
    watch,
    watched_steps,
)

log = logging.getLogger(__name__)

VALID_KEPT_MAX = 10_000


class Recipe(NamedTuple):
    """Everything that decides what is learned from a corpus."""

    tokenizer: TokenizerConfig
    model: ModelConfig
    training: TrainingConfig

    def resolved(self) -> "Recipe":
        """The recipe as it runs: no BatchNorm and no free bits where there is no KL to hold up."""
        if self.training.objective == "vae":
            return self
        return self._replace(
            model=dataclasses.replace(self.model, batchnorm_scale=0.0),
            training=dataclasses.replace(
                self.training,
                free_bits=0.0,
                target_kl_nats=0.0,
                select="last",
                decoder_start="new",
            ),
        )


class Candidate(NamedTuple):
    """A version that is not published yet."""

    files: dict[str, bytes]
    facts: dict[str, Any]
    """What its manifest says beside the files; no times and no verdicts."""


def run_name(recipe: Recipe, corpus: Corpus, parent: str) -> str:
    """The same recipe on the same text has the same run, so a killed job finds its checkpoints."""
    what = [[to_mapping(part) for part in recipe], corpus.hashes, parent, current().world]
    return hashlib.sha256(files.canonical_json(what)).hexdigest()[:12]


class Tokenized(NamedTuple):
    """What a run learns from."""

    tokenizer: bytes
    vocab: int
    train: TokenSource
    valid: TokenSource


def train(recipe: Recipe, corpus: Corpus, run: Path, parent: str, tell: Tell) -> Candidate:
    """Learn a version; goes on from the checkpoints in the folder `run`, if there are any.

    `parent` is the version that served when the run began, or empty. Raises CollapsedError,
    DataError, InputError, OSError, and KeyboardInterrupt once a checkpoint is saved.
    """
    recipe = recipe.resolved()
    learned = tokenized(recipe, corpus, run)
    if recipe.training.decoder_start == "language-model":
        language_model = train_language_model(recipe, learned, run, tell)
        vae = train_vae(recipe, learned, run, tell, language_model)
    else:
        # The VAE first: where it collapses, the language model is not paid for.
        vae = train_vae(recipe, learned, run, tell)
        language_model = train_language_model(recipe, learned, run, tell)
    return candidate(recipe, corpus, parent, learned.tokenizer, vae, language_model)


def tokenized(recipe: Recipe, corpus: Corpus, run: Path) -> Tokenized:
    """The run's tokenizer, new or the one it began with, and both sides in its tokens."""
    for side in ("valid", "test"):
        if not getattr(corpus, side):
            raise DataError(f"corpus: no sentence is on the {side} side; raise data.{side}_share")
    data = _tokenizer(recipe, corpus, run)
    tokenizer = Tokenizer(data)
    tokens_max = recipe.training.tokens_max
    train = token_source(corpus.train, tokenizer, tokens_max)
    # Some hundreds of a held-out side are looked at, however large it is.
    valid = token_source(corpus.valid, tokenizer, tokens_max, kept_max=VALID_KEPT_MAX)
    return Tokenized(data, tokenizer.vocab, train, valid)


def train_vae(
    recipe: Recipe,
    learned: Tokenized,
    run: Path,
    tell: Tell,
    language_model: LanguageModel | None = None,
) -> SentenceVae:
    """The VAE, its BatchNorm folded, in evaluation mode on the CPU.

    `language_model` is needed where the decoder starts as it.
    """
    config = recipe.training
    batches = Batches(learned.train, config.batch, config.seed)
    torch.manual_seed(config.seed)  # the first weights; all else draws from the loop's generator
    vae = SentenceVae(recipe.model, learned.vocab).to(config.device)
    if config.decoder_start == "language-model":
        assert language_model is not None, "the decoder starts as a language model"
        begin_as(vae, language_model)
    if config.autoencoder_steps and config.objective == "vae":
        fit(_warm_up_phase(vae, recipe, learned.valid), batches, config, run, tell)
        reset_decoder(vae, recipe.model, config.seed)
    fit(_vae_phase(vae, recipe, learned.valid), batches, config, run, tell)
    vae.to("cpu")
    fold_batchnorm(vae)
    return vae


def train_language_model(
    recipe: Recipe, learned: Tokenized, run: Path, tell: Tell
) -> LanguageModel:
    """The language model with the best held-out nats of its run, in evaluation mode on the CPU."""
    config = recipe.training
    batches = Batches(learned.train, config.batch, config.seed)
    torch.manual_seed(config.seed)
    model = LanguageModel(recipe.model, learned.vocab).to(config.device)
    fit(_language_model_phase(model, recipe, learned.valid), batches, config, run, tell)
    return model.to("cpu")


def candidate(
    recipe: Recipe,
    corpus: Corpus,
    parent: str,
    tokenizer: bytes,
    vae: SentenceVae,
    language_model: LanguageModel,
) -> Candidate:
    """What was learned, as the files and facts of a version."""
    config = recipe.training
    # What is served has no BatchNorm left, so its config must not promise one.
    served = dataclasses.replace(recipe.model, batchnorm_scale=0.0)
    sections = dict(zip(("tokenizer", "model", "training"), recipe, strict=True))
    steps = {"vae": config.steps, "language-model": config.language_model_steps}
    if config.autoencoder_steps:
        steps["autoencoder"] = config.autoencoder_steps
    return Candidate(
        {
            "model.safetensors": save(_weights(vae)),
            "language_model.safetensors": save(_weights(language_model)),
            "tokenizer.model": tokenizer,
            "config.toml": to_toml(sections).encode(),
        },
        {
            "arithmetic": arithmetic_words(recipe),
            "model_config": to_mapping(served),
            "parent": parent,
            "seed": config.seed,
            "spans": dict(zip(corpus.names, corpus.hashes, strict=True)),
            "steps": steps,
            "textvae": importlib.metadata.version("textvae"),
            "torch": torch.__version__,
            "train_sentences": len(corpus.train),
            "world_size": current().world,
        },
    )


def arithmetic_words(recipe: Recipe) -> str:
    """What the last bits of the weights depend on, beside torch: for the manifest."""
    precision = arithmetic(recipe.training.precision, recipe.training.device)
    in_c = recipe.training.device == "cpu" and native_to_learn() is not None
    way = {True: "in C", False: "by torch"}
    recurrence = way[in_c and recipe.model.hidden % PANEL == 0]
    return f"{precision}, recurrence {recurrence}, softmax {way[in_c]}"


def _tokenizer(recipe: Recipe, corpus: Corpus, run: Path) -> bytes:
    """The run's tokenizer: the one it began with, or a new one."""
    path, ranks = run / "tokenizer.model", current()
    if ranks.first and not path.exists():
        config, seed = recipe.tokenizer, recipe.training.seed
        texts = [row.text for row in drawn(corpus.train, config.sentences_max, seed)]
        files.write_bytes(path, train_tokenizer(texts, config))
    ranks.wait()
    return path.read_bytes()


def _vae_phase(vae: SentenceVae, recipe: Recipe, valid: TokenSource) -> Phase:
    """How the VAE learns."""
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
            dropped=Dropped(recipe.model.dropout, config.word_noise, config.word_dropout, chance),
        )
        figures = {
            "reconstruction_nats": float(loss.reconstruction.detach()),
            "kl_nats": float(loss.kl.detach().sum()),
            "kl_weight": weight,
        }
        return Step(loss.total, figures)

    def hold(holder: RateHolder) -> RateHolder:
        return holder.after(held_out_kl_nats(vae, valid, config), config.target_kl_nats)

    def validate(number: int) -> Mapping[str, float]:
        figures = look(vae, valid, config)
        if config.objective != "autoencoder":
            watch(figures, number, config)
        return figures

    looks = watched_steps(config) if config.objective != "autoencoder" else frozenset[int]()
    score = "valid_iw_nll_nats" if config.select == "iw-nll" else ""
    held = hold if config.target_kl_nats > 0 else None
    return Phase("vae", vae, config.steps, step, held, validate, looks, score)


def _warm_up_phase(vae: SentenceVae, recipe: Recipe, valid: TokenSource) -> Phase:
    """The VAE as an autoencoder, for an encoder that tells sentences apart (Li et al. 2019)."""
    config = dataclasses.replace(
        recipe.training,
        objective="autoencoder",
        steps=recipe.training.autoencoder_steps,
        select="last",
        target_kl_nats=0.0,
    )
    phase = _vae_phase(vae, recipe._replace(training=config), valid)
    return phase._replace(name="autoencoder")


def _language_model_phase(model: LanguageModel, recipe: Recipe, valid: TokenSource) -> Phase:
    """How the language model learns: the same decoder without a latent and without word dropout."""

    def step(
        tokens: Tensor, lengths: Tensor, number: int, factor: float, chance: torch.Generator
    ) -> Step:
        dropped = Dropped(recipe.model.dropout, 0.0, 0.0, chance)
        nats = model.mean_nats(tokens, lengths, None, dropped)
        return Step(nats, {"reconstruction_nats": float(nats.detach())})

    def validate(number: int) -> Mapping[str, float]:
        return look_at_language_model(model, valid, recipe.training)

    steps = recipe.training.language_model_steps
    return Phase("language-model", model, steps, step, validate=validate, score="valid_nats")


def _weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The weights as they are published."""
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}
