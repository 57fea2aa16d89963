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
    fold_batchnorm,
    initialize_from_language_model,
    reset_decoder,
)
from textvae.model.products import PANEL
from textvae.model.schedules import kl_weight
from textvae.progress import ProgressCallback
from textvae.settings import to_mapping, to_toml
from textvae.text.batches import Batches, TokenSource
from textvae.text.token_source import token_source
from textvae.text.tokenizer import Tokenizer, draw_sentences, train_tokenizer
from textvae.training.conditions import check_conditions, conditions
from textvae.training.loop import arithmetic, fit
from textvae.training.phases import language_model_phase, vae_phase, warm_up_phase
from textvae.training.ranks import current_ranks
from textvae.training.recipe import Recipe
from textvae.training.start import (
    FRESH,
    Start,
    initial_controller,
    load_start_weights,
    recipe_from_start,
    start_facts,
    training_text,
)
from textvae.version_files import CONFIG_FILE, LANGUAGE_MODEL_FILE, TOKENIZER_FILE, VAE_FILE

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
    what = [said, corpus.hashes, parent, start.kind, current_ranks().world]
    return hashlib.sha256(files.canonical_json(what)).hexdigest()[:12]


class TokenizedCorpus(NamedTuple):
    """What a run learns from."""

    tokenizer: bytes
    vocab: int
    train: TokenSource
    valid: TokenSource


class TrainedVae(NamedTuple):
    """A VAE, and what its KL weighed in the end."""

    vae: SentenceVae
    kl_weight: float


def train(
    recipe: Recipe,
    corpus: Corpus,
    run: Path,
    parent: str,
    on_progress: ProgressCallback,
    start: Start = FRESH,
) -> Candidate:
    """Learn a version; goes on from the checkpoints in the folder `run`, if there are any.

    `parent` is the version that served when the run began, or empty; `start`, from `start_of`, is
    what it begins from. Raises CollapsedError, DataError, InputError, OSError, and
    KeyboardInterrupt once a checkpoint is saved.
    """
    given = recipe.resolved()
    config = dataclasses.replace(given.training, restart=recipe.training.restart)
    recipe = recipe_from_start(given._replace(training=config), start)
    text = training_text(given, corpus, start)
    if start.ancestor is not None:
        _keep_tokenizer(start.ancestor.folder / TOKENIZER_FILE, run)
    learned = tokenize_corpus(recipe, text.corpus, run)
    if recipe.training.decoder_start == "language-model":
        language_model = train_language_model(recipe, learned, run, on_progress, start)
        made = train_vae_from(recipe, learned, run, on_progress, language_model)
    else:
        # The VAE first: where it collapses, the language model is not paid for.
        made = train_vae_from(recipe, learned, run, on_progress, None, start)
        language_model = train_language_model(recipe, learned, run, on_progress, start)
    version = build_candidate(
        given, text.corpus, parent, learned.tokenizer, made.vae, language_model
    )
    began = start_facts(given, start, text, learned.tokenizer)
    steps = _steps(recipe)
    return version._replace(
        facts={**version.facts, **began, "kl_weight": made.kl_weight, "steps": steps}
    )


def tokenize_corpus(recipe: Recipe, corpus: Corpus, run: Path) -> TokenizedCorpus:
    """The run's tokenizer, new or the one it began with, and both sides in its tokens."""
    for side in ("valid", "test"):
        if not getattr(corpus, side):
            raise DataError(f"corpus: no sentence is on the {side} side; raise data.{side}_share")
    data = _tokenizer(recipe, corpus, run)
    tokenizer = Tokenizer(data)
    tokens_max = recipe.training.tokens_max
    train = token_source(corpus.train, tokenizer, tokens_max)
    # Some hundreds of a held-out side are looked at, however large it is.
    valid = token_source(corpus.valid, tokenizer, tokens_max, stored_max=VALID_KEPT_MAX)
    return TokenizedCorpus(data, tokenizer.vocab, train, valid)


def train_vae(
    recipe: Recipe,
    learned: TokenizedCorpus,
    run: Path,
    on_progress: ProgressCallback,
    language_model: LanguageModel | None = None,
) -> SentenceVae:
    """The VAE of a fresh start, as `train_vae_from`."""
    return train_vae_from(recipe, learned, run, on_progress, language_model).vae


def train_vae_from(
    recipe: Recipe,
    learned: TokenizedCorpus,
    run: Path,
    on_progress: ProgressCallback,
    language_model: LanguageModel | None = None,
    start: Start = FRESH,
) -> TrainedVae:
    """The VAE, its BatchNorm folded, in evaluation mode on the CPU.

    `language_model` is needed where the decoder starts as it.
    """
    config = recipe.training
    _check_conditions(recipe, run)
    batches = Batches(learned.train, config.batch, config.seed)
    torch.manual_seed(config.seed)  # the first weights; all else draws from the loop's generator
    vae = SentenceVae(recipe.model, learned.vocab).to(config.device)
    load_start_weights(vae, start, VAE_FILE, recipe)
    if config.decoder_start == "language-model":
        assert language_model is not None, "the decoder starts as a language model"
        initialize_from_language_model(vae, language_model)
    if config.autoencoder_steps and config.objective == "vae":
        fit(warm_up_phase(vae, recipe, learned.valid), batches, config, run, on_progress)
        reset_decoder(vae, recipe.model, config.seed)
    phase = vae_phase(vae, recipe, learned.valid, initial_controller(recipe, start))
    controller = fit(phase, batches, config, run, on_progress)
    vae.to("cpu")
    fold_batchnorm(vae)
    return TrainedVae(vae, kl_weight(config, config.steps) * controller.multiplier)


def train_language_model(
    recipe: Recipe,
    learned: TokenizedCorpus,
    run: Path,
    on_progress: ProgressCallback,
    start: Start = FRESH,
) -> LanguageModel:
    """The language model with the best held-out nats of its run, in evaluation mode on the CPU."""
    config = recipe.training
    _check_conditions(recipe, run)
    batches = Batches(learned.train, config.batch, config.seed)
    torch.manual_seed(config.seed)
    model = LanguageModel(recipe.model, learned.vocab).to(config.device)
    load_start_weights(model, start, LANGUAGE_MODEL_FILE, recipe)
    fit(language_model_phase(model, recipe, learned.valid), batches, config, run, on_progress)
    return model.to("cpu")


def _check_conditions(recipe: Recipe, run: Path) -> None:
    """The run's checkpoints are of this arithmetic; InputError where they are not."""
    config = recipe.training
    check_conditions(run / "checkpoints", conditions(config), config.restart, current_ranks())


def build_candidate(
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
            CONFIG_FILE: to_toml(sections).encode(),
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
            "world_size": current_ranks().world,
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
    path, ranks = run / TOKENIZER_FILE, current_ranks()
    if ranks.first and not path.exists():
        files.copy_file(known, path)
    ranks.wait()


def _tokenizer(recipe: Recipe, corpus: Corpus, run: Path) -> bytes:
    """The run's tokenizer: the one it began with, or a new one."""
    path, ranks = run / TOKENIZER_FILE, current_ranks()
    if ranks.first and not path.exists():
        config, seed = recipe.tokenizer, recipe.training.seed
        texts = [row.text for row in draw_sentences(corpus.train, config.sentences_max, seed)]
        files.write_bytes(path, train_tokenizer(texts, config))
    ranks.wait()
    return path.read_bytes()


def _weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The weights as they are published."""
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}
