"""A whole run: tokenizer, VAE, language model, and the files of a version."""

import dataclasses
import hashlib
import importlib.metadata
import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from textvae import files
from textvae.corpus.spans import Corpus
from textvae.errors import DataError
from textvae.model.native import native_to_learn
from textvae.model.network import (
    LanguageModel,
    SentenceVae,
    begin_as,
    fold_batchnorm,
    reset_decoder,
)
from textvae.model.products import PANEL
from textvae.model.schedules import kl_weight
from textvae.settings import to_mapping, to_toml
from textvae.text.batches import Batches, TokenSource
from textvae.text.token_source import token_source
from textvae.text.tokenizer import Tokenizer, drawn, train_tokenizer
from textvae.training.conditions import conditions, settle
from textvae.training.loop import Tell, arithmetic, fit
from textvae.training.phases import language_model_phase, vae_phase, warm_up_phase
from textvae.training.ranks import current
from textvae.training.recipe import Recipe
from textvae.training.start import (
    FRESH,
    LANGUAGE_MODEL_FILE,
    TOKENIZER_FILE,
    VAE_FILE,
    Start,
    as_begun,
    begin_from,
    facts_of,
    holder_of,
    text_of,
)

log = logging.getLogger(__name__)

VALID_KEPT_MAX = 10_000


class Candidate(NamedTuple):
    """A version that is not published yet."""

    files: dict[str, bytes]
    facts: dict[str, Any]
    """What its manifest says beside the files; no times and no verdicts."""


def run_name(recipe: Recipe, corpus: Corpus, parent: str, start: Start = FRESH) -> str:
    """The same recipe on the same text from the same start has the same run, so a killed job finds
    its checkpoints."""
    said = [to_mapping(part) for part in recipe.resolved()]
    what = [said, corpus.hashes, parent, start.kind, current().world]
    return hashlib.sha256(files.canonical_json(what)).hexdigest()[:12]


class Tokenized(NamedTuple):
    """What a run learns from."""

    tokenizer: bytes
    vocab: int
    train: TokenSource
    valid: TokenSource


class LearnedVae(NamedTuple):
    """A VAE, and what its KL weighed in the end."""

    vae: SentenceVae
    kl_weight: float


def train(
    recipe: Recipe, corpus: Corpus, run: Path, parent: str, tell: Tell, start: Start = FRESH
) -> Candidate:
    """Learn a version; goes on from the checkpoints in the folder `run`, if there are any.

    `parent` is the version that served when the run began, or empty; `start`, from `start_of`, is
    what it begins from. Raises CollapsedError, DataError, InputError, OSError, and
    KeyboardInterrupt once a checkpoint is saved.
    """
    given = recipe.resolved()
    config = dataclasses.replace(given.training, restart=recipe.training.restart)
    recipe = as_begun(given._replace(training=config), start)
    text = text_of(given, corpus, start)
    if start.ancestor is not None:
        _keep_tokenizer(start.ancestor.folder / TOKENIZER_FILE, run)
    learned = tokenized(recipe, text.corpus, run)
    if recipe.training.decoder_start == "language-model":
        language_model = train_language_model(recipe, learned, run, tell, start)
        made = learn_vae(recipe, learned, run, tell, language_model)
    else:
        # The VAE first: where it collapses, the language model is not paid for.
        made = learn_vae(recipe, learned, run, tell, None, start)
        language_model = train_language_model(recipe, learned, run, tell, start)
    version = candidate(given, text.corpus, parent, learned.tokenizer, made.vae, language_model)
    began = facts_of(given, start, text, learned.tokenizer)
    steps = _steps(recipe)
    return version._replace(
        facts={**version.facts, **began, "kl_weight": made.kl_weight, "steps": steps}
    )


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
    """The VAE of a fresh start, as `learn_vae`."""
    return learn_vae(recipe, learned, run, tell, language_model).vae


def learn_vae(
    recipe: Recipe,
    learned: Tokenized,
    run: Path,
    tell: Tell,
    language_model: LanguageModel | None = None,
    start: Start = FRESH,
) -> LearnedVae:
    """The VAE, its BatchNorm folded, in evaluation mode on the CPU.

    `language_model` is needed where the decoder starts as it.
    """
    config = recipe.training
    _settle(recipe, run)
    batches = Batches(learned.train, config.batch, config.seed)
    torch.manual_seed(config.seed)  # the first weights; all else draws from the loop's generator
    vae = SentenceVae(recipe.model, learned.vocab).to(config.device)
    begin_from(vae, start, VAE_FILE, recipe)
    if config.decoder_start == "language-model":
        assert language_model is not None, "the decoder starts as a language model"
        begin_as(vae, language_model)
    if config.autoencoder_steps and config.objective == "vae":
        fit(warm_up_phase(vae, recipe, learned.valid), batches, config, run, tell)
        reset_decoder(vae, recipe.model, config.seed)
    phase = vae_phase(vae, recipe, learned.valid, holder_of(recipe, start))
    holder = fit(phase, batches, config, run, tell)
    vae.to("cpu")
    fold_batchnorm(vae)
    return LearnedVae(vae, kl_weight(config, config.steps) * holder.multiplier)


def train_language_model(
    recipe: Recipe, learned: Tokenized, run: Path, tell: Tell, start: Start = FRESH
) -> LanguageModel:
    """The language model with the best held-out nats of its run, in evaluation mode on the CPU."""
    config = recipe.training
    _settle(recipe, run)
    batches = Batches(learned.train, config.batch, config.seed)
    torch.manual_seed(config.seed)
    model = LanguageModel(recipe.model, learned.vocab).to(config.device)
    begin_from(model, start, LANGUAGE_MODEL_FILE, recipe)
    fit(language_model_phase(model, recipe, learned.valid), batches, config, run, tell)
    return model.to("cpu")


def _settle(recipe: Recipe, run: Path) -> None:
    """The run's checkpoints are of this arithmetic; InputError where they are not."""
    config = recipe.training
    settle(run / "checkpoints", conditions(config), config.restart, current())


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
    return Candidate(
        {
            VAE_FILE: save(_weights(vae)),
            LANGUAGE_MODEL_FILE: save(_weights(language_model)),
            TOKENIZER_FILE: tokenizer,
            "config.toml": to_toml(sections).encode(),
        },
        {
            "arithmetic": arithmetic_words(recipe),
            "model_config": to_mapping(served),
            "parent": parent,
            "seed": config.seed,
            "spans": dict(zip(corpus.names, corpus.hashes, strict=True)),
            "steps": _steps(recipe),
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


def _steps(recipe: Recipe) -> dict[str, int]:
    """Steps of each phase, by its name."""
    config = recipe.training
    steps = {"vae": config.steps, "language-model": config.language_model_steps}
    if config.autoencoder_steps:
        steps["autoencoder"] = config.autoencoder_steps
    return steps


def _keep_tokenizer(known: Path, run: Path) -> None:
    """The run's tokenizer is the known one."""
    path, ranks = run / TOKENIZER_FILE, current()
    if ranks.first and not path.exists():
        files.copy_file(known, path)
    ranks.wait()


def _tokenizer(recipe: Recipe, corpus: Corpus, run: Path) -> bytes:
    """The run's tokenizer: the one it began with, or a new one."""
    path, ranks = run / TOKENIZER_FILE, current()
    if ranks.first and not path.exists():
        config, seed = recipe.tokenizer, recipe.training.seed
        texts = [row.text for row in drawn(corpus.train, config.sentences_max, seed)]
        files.write_bytes(path, train_tokenizer(texts, config))
    ranks.wait()
    return path.read_bytes()


def _weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The weights as they are published."""
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}
