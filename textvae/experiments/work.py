"""One task of the quality table, done: learned, published, measured, written down.

Its folder holds checkpoints while there is something to go on with, then the weights, and row.json
once all is measured.
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
    learning_stamp,
    recipe_of,
    result_of,
    stamp,
)
from textvae.model.network import LanguageModel, SentenceVae
from textvae.progress import ProgressCallback
from textvae.store.attachments import json_values
from textvae.store.versions import publish
from textvae.text.sentence import Sentence
from textvae.text.tokenizer import Tokenizer
from textvae.training.recipe import Recipe
from textvae.training.run import (
    TokenizedCorpus,
    build_candidate,
    tokenize_corpus,
    train_language_model,
    train_vae,
)
from textvae.training.validation import validate_language_model
from textvae.version_files import TOKENIZER_FILE

log = logging.getLogger(__name__)

# A version's name begins with a day, and a table holds no times.
DAY = "20260101"
WEIGHTS = "weights.safetensors"
LOCK_TRIES, LOCK_PAUSE_S = 100, 0.1


def run_task(plan: Plan, task: Task, on_progress: ProgressCallback) -> None:
    """Do the task, from where an earlier try of it was cut off; nothing if it is done.

    Raises DataError, InputError, OSError, BusyError where another process does it, and
    KeyboardInterrupt once a checkpoint is saved.
    """
    torch.set_num_threads(plan.threads)
    folder = folder_of(plan, task)
    with threadpool_limits(plan.threads), _hold_task_lock(folder.parent / f".{folder.name}.lock"):
        if result_of(plan, task) is not None:
            return
        _begin(plan, task)
        corpus = corpus_of(plan, task).load()
        learned = tokenize_corpus(recipe_of(plan, task), corpus, folder)
        work = _language_model if task.row == LANGUAGE_MODEL else _row
        found = work(plan, task, corpus, learned, on_progress)
        head = {**task._asdict(), "settings": stamp(plan, task)}
        files.write_json(folder / "row.json", json_values({**head, **found}))


@contextlib.contextmanager
def _hold_task_lock(path: Path) -> Iterator[None]:
    """Nobody else does the task; a worker whose table was killed may need a moment to end."""
    with contextlib.ExitStack() as held:
        for left in reversed(range(LOCK_TRIES)):
            try:
                held.enter_context(locks.hold_lock(path, "table"))
                break
            except BusyError:
                if not left:
                    raise
                time.sleep(LOCK_PAUSE_S)
        yield


def _begin(plan: Plan, task: Task) -> None:
    """The task's folder, with its tokenizer, and without what other settings left there."""
    folder = folder_of(plan, task)
    record, mine = folder / "learning.json", {"settings": learning_stamp(plan, task)}
    if record.exists() and json.loads(record.read_bytes()) == mine:
        if (folder / "row.json").exists():
            log.info("%s: is measured with other settings now, so it is measured again", task.name)
        return
    if folder.exists():
        log.info("%s: its settings are not what they were, so it is done again", task.name)
        files.remove_folder(folder)
    files.copy_file(corpus_of(plan, task).tokenizer, folder / TOKENIZER_FILE)
    files.write_json(record, mine)


def _language_model(
    plan: Plan, task: Task, corpus: Corpus, learned: TokenizedCorpus, on_progress: ProgressCallback
) -> dict[str, Any]:
    """The language model's nats, of the sentences that chose it and of those that judge it."""
    folder, recipe = folder_of(plan, task), recipe_of(plan, task)
    _learn(folder, lambda: train_language_model(recipe, learned, folder, on_progress))
    model = _stored_language_model(folder, recipe, learned.vocab)
    on_cpu = dataclasses.replace(recipe.training, device="cpu")
    texts = [row.text for row in _test_rows(folder, corpus, plan.evaluation)]
    tokenizer = Tokenizer(learned.tokenizer)
    nats = sentence_nats(model, tokenizer, texts, ServeConfig().tokens_max)
    return {
        "valid_nats": validate_language_model(model, learned.valid, on_cpu)["valid_nats"],
        "figures": {
            "sentences": len(texts),
            "language_model_nats": float(nats.mean()),
            "language_model_perplexity_per_word": perplexity_per_word(nats, texts),
        },
    }


def _row(
    plan: Plan, task: Task, corpus: Corpus, learned: TokenizedCorpus, on_progress: ProgressCallback
) -> dict[str, Any]:
    """The version of a row, and its figures."""
    folder, recipe = folder_of(plan, task), recipe_of(plan, task)
    rival = best_language_model(plan, task.corpus, task.seed)
    language_model = _stored_language_model(
        folder_of(plan, rival), recipe_of(plan, rival), learned.vocab
    )
    _learn(folder, lambda: train_vae(recipe, learned, folder, on_progress, language_model))
    vae = _stored_vae(folder, recipe, learned.vocab)
    made = build_candidate(recipe, corpus, "", learned.tokenizer, vae, language_model)
    # What is fitted to a version is never rewritten, so other settings are another version.
    facts = {**made.facts, "table": {**task._asdict(), "settings": stamp(plan, task)}}
    version = publish(plan.folder / "registry", task.corpus, DAY, made.files, facts)
    config = evaluation_of(plan, task)
    figures = row_figures(
        plan.folder / "registry",
        version,
        corpus.train,
        _test_rows(folder, corpus, config),
        config,
        plan.threads,
        on_progress,
    )
    figures["collapsed_at_step"] = collapsed_at_step(folder / "metrics.jsonl", recipe.training)
    return {"version": version.name, "figures": figures}


def _test_rows(folder: Path, corpus: Corpus, config: EvaluationConfig) -> list[Sentence]:
    """The fixed test sentences that every version with the tokenizer in `folder` is asked about."""
    rows = {row.text: row for row in corpus.test}
    return [
        rows[text]
        for text in sentences_within_limits(
            first_texts_by_hash(corpus.test, config.sentences), [folder], ServeConfig()
        )
    ]


def _learn(folder: Path, train: Callable[[], torch.nn.Module]) -> None:
    """The weights lie in the folder; the checkpoints, many times as large, have served."""
    if not (folder / WEIGHTS).exists():
        weights = {name: value.contiguous() for name, value in train().state_dict().items()}
        files.write_bytes(folder / WEIGHTS, save(weights))
    if (folder / "checkpoints").exists():
        files.remove_folder(folder / "checkpoints")


def _stored_vae(folder: Path, recipe: Recipe, vocab: int) -> SentenceVae:
    """The VAE that was kept, its BatchNorm folded."""
    config = dataclasses.replace(recipe.model, batchnorm_scale=0.0)
    model = SentenceVae(config, vocab)
    model.load_state_dict(load((folder / WEIGHTS).read_bytes()))
    return model.eval()


def _stored_language_model(folder: Path, recipe: Recipe, vocab: int) -> LanguageModel:
    """The language model that was kept."""
    model = LanguageModel(recipe.model, vocab)
    model.load_state_dict(load((folder / WEIGHTS).read_bytes()))
    return model.eval()
