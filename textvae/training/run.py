"""A training run: tokenizer, VAE, language model, and the files of a version."""

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
from textvae.text.batches import Batches
from textvae.training.conditions import check_conditions, conditions
from textvae.training.epochs import log_epochs
from textvae.training.loop import arithmetic, fit
from textvae.training.phases import language_model_phase, vae_phase, warm_up_phase
from textvae.training.plan import phase_steps, plan_training
from textvae.training.ranks import current_ranks
from textvae.training.recipe import Recipe
from textvae.training.start import (
    FRESH,
    Start,
    initial_controller,
    load_start_weights,
    start_facts,
    training_text,
)
from textvae.training.tokenized_corpus import (
    TokenizedCorpus,
    copy_tokenizer,
    tokenize_corpus,
)
from textvae.version_files import CONFIG_FILE, LANGUAGE_MODEL_FILE, TOKENIZER_FILE, VAE_FILE

log = logging.getLogger(__name__)


class Candidate(NamedTuple):
    """A version that is not published yet."""

    files: dict[str, bytes]
    """Contents by file name."""
    facts: dict[str, Any]
    """What its manifest says in addition to the files; no times and no verdicts."""


def run_name(recipe: Recipe, corpus: Corpus, parent: str, start: Start = FRESH) -> str:
    """Return the name of the run: 12 hex digits of the SHA-256 of all that decides its weights.

    The same recipe on the same text from the same start has the same name, so a killed job finds
    its checkpoints.
    """
    settings = [to_mapping(section) for section in recipe.resolve()]
    identity = [settings, corpus.hashes, parent, start.kind, current_ranks().world]
    return hashlib.sha256(files.canonical_json(identity)).hexdigest()[:12]


class TrainedVae(NamedTuple):
    """A VAE and the final weight of its KL."""

    vae: SentenceVae
    """In evaluation mode, its BatchNorm folded."""
    kl_weight: float
    """Annealed weight times the controller's multiplier, after the last step."""


def train(
    recipe: Recipe,
    corpus: Corpus,
    run: Path,
    parent: str,
    on_progress: ProgressCallback,
    start: Start = FRESH,
) -> Candidate:
    """Train a version; continues from the checkpoints in the folder `run`, if there are any.

    `parent` is the version that served when the run began, or empty; `start`, from `choose_start`,
    is what it begins from. Raises CollapsedError, DataError, InputError, OSError, and
    KeyboardInterrupt once a checkpoint is saved.
    """
    text = training_text(recipe, corpus, start)
    plan = plan_training(recipe, start, len(text.corpus.train))
    log_epochs(plan.manifest.training, plan.run.training, len(text.corpus.train))
    if start.ancestor is not None:
        copy_tokenizer(start.ancestor.folder / TOKENIZER_FILE, run)
    tokenized = tokenize_corpus(plan.run, text.corpus, run)
    if plan.run.training.decoder_start == "language-model":
        language_model = train_language_model(plan.run, tokenized, run, on_progress, start)
        trained = train_vae_from(plan.run, tokenized, run, on_progress, language_model)
    else:
        # The VAE first: where it collapses, the language model is not paid for.
        trained = train_vae_from(plan.run, tokenized, run, on_progress, None, start)
        language_model = train_language_model(plan.run, tokenized, run, on_progress, start)
    candidate = build_candidate(
        plan.manifest, text.corpus, parent, tokenized.tokenizer, trained.vae, language_model
    )
    facts = {
        **candidate.facts,
        "sentence_tokens": tokenized.lengths._asdict(),
        **start_facts(plan.manifest, start, text, tokenized.tokenizer),
        "kl_weight": trained.kl_weight,
        "steps": phase_steps(plan.run),
        **tokenized.sibling_facts,
    }
    return candidate._replace(facts=facts)


def train_vae(
    recipe: Recipe,
    tokenized: TokenizedCorpus,
    run: Path,
    on_progress: ProgressCallback,
    language_model: LanguageModel | None = None,
) -> SentenceVae:
    """Train the VAE of a fresh start, as `train_vae_from` does."""
    return train_vae_from(recipe, tokenized, run, on_progress, language_model).vae


def train_vae_from(
    recipe: Recipe,
    tokenized: TokenizedCorpus,
    run: Path,
    on_progress: ProgressCallback,
    language_model: LanguageModel | None = None,
    start: Start = FRESH,
) -> TrainedVae:
    """Train the VAE and return it on the CPU, in evaluation mode, its BatchNorm folded.

    `language_model` must be given where the decoder starts as the language model.
    """
    config = recipe.training
    _check_conditions(recipe, run)
    batches = Batches(tokenized.train, config.batch, config.seed, tokenized.rephrasing)
    torch.manual_seed(config.seed)  # initial weights; all else draws from the loop's generator
    vae = SentenceVae(recipe.model, tokenized.vocab).to(config.device)
    load_start_weights(vae, start, VAE_FILE, recipe)
    if config.decoder_start == "language-model":
        assert language_model is not None, "the decoder starts as a language model"
        initialize_from_language_model(vae, language_model)
    if config.autoencoder_steps and config.objective == "vae":
        fit(warm_up_phase(vae, recipe, tokenized.valid), batches, config, run, on_progress)
        reset_decoder(vae, recipe.model, config.seed)
    controller = initial_controller(recipe, start)
    phase = vae_phase(vae, recipe, tokenized.valid, controller, tokenized.valid_siblings)
    controller = fit(phase, batches, config, run, on_progress)
    vae.to("cpu")
    fold_batchnorm(vae)
    return TrainedVae(vae, kl_weight(config, config.steps) * controller.multiplier)


def train_language_model(
    recipe: Recipe,
    tokenized: TokenizedCorpus,
    run: Path,
    on_progress: ProgressCallback,
    start: Start = FRESH,
) -> LanguageModel:
    """Train the language model; return its weights of the best held-out nats, in evaluation mode on
    the CPU."""
    config = recipe.training
    _check_conditions(recipe, run)
    batches = Batches(tokenized.train, config.batch, config.seed)
    torch.manual_seed(config.seed)
    model = LanguageModel(recipe.model, tokenized.vocab).to(config.device)
    load_start_weights(model, start, LANGUAGE_MODEL_FILE, recipe)
    fit(language_model_phase(model, recipe, tokenized.valid), batches, config, run, on_progress)
    return model.to("cpu")


def _check_conditions(recipe: Recipe, run: Path) -> None:
    """Raise InputError where the run's checkpoints are of another arithmetic than this process."""
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
    """Return the trained models as the files and facts of a version; `recipe` is what config.toml
    says."""
    config = recipe.training
    # A published VAE has no BatchNorm left, so the manifest must not declare one.
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
            "steps": phase_steps(recipe),
            "textvae": importlib.metadata.version("textvae"),
            "torch": torch.__version__,
            "train_sentences": len(corpus.train),
            "world_size": current_ranks().world,
        },
    )


def arithmetic_words(recipe: Recipe) -> str:
    """Return the arithmetic that the last bits of the weights depend on, as the manifest has it."""
    precision = arithmetic(recipe.training.precision, recipe.training.device)
    compiled = recipe.training.device == "cpu" and native_to_learn() is not None
    spelled = {True: "in C", False: "by torch"}
    recurrence = spelled[compiled and recipe.model.hidden % PANEL == 0]
    return f"{precision}, recurrence {recurrence}, softmax {spelled[compiled]}"


def _weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return the weights as they are published."""
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}
