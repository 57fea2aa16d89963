"""Run one task of the quality table: train, publish, measure, write row.json.

Its folder has checkpoints while it trains, then the weights, and row.json once all is measured.
"""

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

from textvae import files, locks
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import Corpus
from textvae.errors import BusyError
from textvae.evaluation.cache import held_out_groups
from textvae.evaluation.holdout import first_texts_by_hash
from textvae.evaluation.length_limits import sentences_within_limits
from textvae.evaluation.scorers import perplexity_per_word, sentence_nats
from textvae.experiments.figures import collapsed_at_step, row_figures
from textvae.experiments.rows import LANGUAGE_MODEL
from textvae.experiments.tasks import (
    Plan,
    Task,
    best_language_model,
    corpus_of,
    evaluation_of,
    folder_of,
    recipe_of,
    result_of,
    result_stamp,
    training_stamp,
)
from textvae.model.network import LanguageModel, SentenceVae
from textvae.progress import ProgressCallback
from textvae.store.attachments import json_values
from textvae.store.versions import publish
from textvae.text.sentence import Sentence
from textvae.text.tokenizer import Tokenizer
from textvae.training.recipe import Recipe
from textvae.training.run import build_candidate, train_language_model, train_vae
from textvae.training.tokenized_corpus import TokenizedCorpus, tokenize_corpus
from textvae.training.validation import validate_language_model
from textvae.version_files import TOKENIZER_FILE

log = logging.getLogger(__name__)

# The name of a version begins with a day, and a table has no times.
DAY = "20260101"
WEIGHTS = "weights.safetensors"
LOCK_TRIES, LOCK_PAUSE_S = 100, 0.1


def run_task(plan: Plan, task: Task, on_progress: ProgressCallback) -> None:
    """Run the task, resume it where it was interrupted, or return at once if it is done.

    Raises DataError, InputError, OSError, BusyError where another process runs it, and
    KeyboardInterrupt once a checkpoint is saved.
    """
    torch.set_num_threads(plan.threads)
    folder = folder_of(plan, task)
    with threadpool_limits(plan.threads), _hold_task_lock(folder.parent / f".{folder.name}.lock"):
        if result_of(plan, task) is not None:
            return
        _prepare_folder(plan, task)
        corpus = corpus_of(plan, task).load()
        tokenized = tokenize_corpus(recipe_of(plan, task), corpus, folder)
        run = _run_language_model if task.row == LANGUAGE_MODEL else _run_row
        found = run(plan, task, corpus, tokenized, on_progress)
        head = {**task._asdict(), "settings": result_stamp(plan, task)}
        files.write_json(folder / "row.json", json_values({**head, **found}))


@contextlib.contextmanager
def _hold_task_lock(path: Path) -> Iterator[None]:
    """Hold the task's lock; a worker whose table was killed may need a moment to release it."""
    with contextlib.ExitStack() as stack:
        for tries_left in reversed(range(LOCK_TRIES)):
            try:
                stack.enter_context(locks.hold_lock(path, "table"))
                break
            except BusyError:
                if not tries_left:
                    raise
                time.sleep(LOCK_PAUSE_S)
        yield


def _prepare_folder(plan: Plan, task: Task) -> None:
    """Make the task's folder with its tokenizer, and empty it first if its settings changed."""
    folder = folder_of(plan, task)
    record, stamp = folder / "learning.json", {"settings": training_stamp(plan, task)}
    if record.exists() and json.loads(record.read_bytes()) == stamp:
        if (folder / "row.json").exists():
            log.info("%s: is measured with other settings now, so it is measured again", task.name)
        return
    if folder.exists():
        log.info("%s: its settings are not what they were, so it is done again", task.name)
        files.remove_folder(folder)
    files.copy_file(corpus_of(plan, task).tokenizer, folder / TOKENIZER_FILE)
    files.write_json(record, stamp)


def _run_language_model(
    plan: Plan,
    task: Task,
    corpus: Corpus,
    tokenized: TokenizedCorpus,
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """Train a language model; return its nats on the validation side and on the test side."""
    folder, recipe = folder_of(plan, task), recipe_of(plan, task)
    _train_weights(folder, lambda: train_language_model(recipe, tokenized, folder, on_progress))
    model = _load_language_model(folder, recipe, tokenized.vocab)
    on_cpu = dataclasses.replace(recipe.training, device="cpu")
    texts = [row.text for row in _test_rows(folder, corpus, plan.evaluation)]
    tokenizer = Tokenizer(tokenized.tokenizer)
    nats = sentence_nats(model, tokenizer, texts, ServeConfig().tokens_max)
    return {
        "valid_nats": validate_language_model(model, tokenized.valid, on_cpu)["valid_nats"],
        "figures": {
            "sentences": len(texts),
            "language_model_nats": float(nats.mean()),
            "language_model_perplexity_per_word": perplexity_per_word(nats, texts),
        },
    }


def _run_row(
    plan: Plan,
    task: Task,
    corpus: Corpus,
    tokenized: TokenizedCorpus,
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """Train and publish the version of a row; return its name and its figures."""
    folder, recipe = folder_of(plan, task), recipe_of(plan, task)
    baseline = best_language_model(plan, task.corpus, task.seed)
    language_model = _load_language_model(
        folder_of(plan, baseline), recipe_of(plan, baseline), tokenized.vocab
    )
    _train_weights(
        folder, lambda: train_vae(recipe, tokenized, folder, on_progress, language_model)
    )
    vae = _load_vae(folder, recipe, tokenized.vocab)
    candidate = build_candidate(recipe, corpus, "", tokenized.tokenizer, vae, language_model)
    # Attachments of a version are never rewritten, so other settings make another version.
    table = {**task._asdict(), "settings": result_stamp(plan, task)}
    facts = {**candidate.facts, **tokenized.sibling_facts, "table": table}
    version = publish(plan.folder / "registry", task.corpus, DAY, candidate.files, facts)
    config = evaluation_of(plan, task)
    figures = row_figures(
        plan.folder / "registry",
        version,
        corpus.train,
        _test_rows(folder, corpus, config),
        config,
        plan.threads,
        on_progress,
        held_out_groups(corpus_of(plan, task).spans, config, config.groups),
    )
    figures["collapsed_at_step"] = collapsed_at_step(folder / "metrics.jsonl", recipe.training)
    return {"version": version.name, "figures": figures}


def _test_rows(folder: Path, corpus: Corpus, config: EvaluationConfig) -> list[Sentence]:
    """Return the fixed test sentences within the limits of the tokenizer in `folder`."""
    rows = {row.text: row for row in corpus.test}
    return [
        rows[text]
        for text in sentences_within_limits(
            first_texts_by_hash(corpus.test, config.sentences), [folder], ServeConfig()
        )
    ]


def _train_weights(folder: Path, train: Callable[[], torch.nn.Module]) -> None:
    """Train unless the folder has the weights; then remove the checkpoints, which are larger."""
    if not (folder / WEIGHTS).exists():
        weights = {name: value.contiguous() for name, value in train().state_dict().items()}
        files.write_bytes(folder / WEIGHTS, save(weights))
    if (folder / "checkpoints").exists():
        files.remove_folder(folder / "checkpoints")


def _load_vae(folder: Path, recipe: Recipe, vocab: int) -> SentenceVae:
    """Return the VAE of the folder's weights, whose BatchNorm was folded."""
    config = dataclasses.replace(recipe.model, batchnorm_scale=0.0)
    model = SentenceVae(config, vocab)
    model.load_state_dict(load((folder / WEIGHTS).read_bytes()))
    return model.eval()


def _load_language_model(folder: Path, recipe: Recipe, vocab: int) -> LanguageModel:
    """Return the language model of the folder's weights."""
    model = LanguageModel(recipe.model, vocab)
    model.load_state_dict(load((folder / WEIGHTS).read_bytes()))
    return model.eval()
