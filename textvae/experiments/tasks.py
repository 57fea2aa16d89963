"""The tasks of a quality table: their order, their folders, and which are done.

A task is one training: a language model of the grid of dropouts, or a row with a seed. Its result
is a row.json with the stamp of all settings that its figures depend on, so that no task is done
twice and none is taken for another.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.config.evaluation import EvaluationConfig
from textvae.corpus.spans import Corpus, load_spans
from textvae.evaluation.holdout import first_texts_by_hash
from textvae.experiments.rows import LANGUAGE_MODEL, ROWS, language_model_recipe, row_recipe
from textvae.settings import to_mapping
from textvae.training.recipe import Recipe

# The times of checkpoints and of log lines change no figure.
_IRRELEVANT = ("checkpoint_s", "log_steps")


class PreparedCorpus(NamedTuple):
    """A corpus that was ingested below the table's folder."""

    name: str
    spans: Path
    tokenizer: Path
    sentences: int
    """Number of training sentences, the first by hash; 0 for all."""
    key: str
    """SHA-256 of the text, the selection and the tokenizer's settings, in hexadecimal."""
    facts: dict[str, Any]
    """Counts for the table."""

    def load(self) -> Corpus:
        """Return the sentences, verified and selected. Raises CorruptError, NotFoundError."""
        return select_training_sentences(load_spans(self.spans), self.sentences)


def select_training_sentences(corpus: Corpus, sentences: int) -> Corpus:
    """Return the corpus with the first training sentences by hash, in its order; 0: all."""
    if not sentences:
        return corpus
    selected = frozenset(first_texts_by_hash(corpus.train, sentences))
    return corpus._replace(train=[row for row in corpus.train if row.text in selected])


class Plan(NamedTuple):
    """The settings of a table."""

    folder: Path
    corpora: tuple[PreparedCorpus, ...]
    base: Recipe
    latent: int
    """Width of every row's latent; 0 for each preset's."""
    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    dropouts: tuple[float, ...]
    """Of the language models; rows are compared with the best of them."""
    evaluation: EvaluationConfig
    likelihood_samples: int
    """Importance samples of the rows about the likelihood; 0: as the others."""
    one_language_model: bool
    """Whether the rows of all seeds share the language models of the first."""
    threads: int
    """Of the arithmetic of one task; another number may change the last bits of a figure."""


class Task(NamedTuple):
    """One training and the measurement of its result."""

    corpus: str
    row: str
    seed: int
    dropout: float = 0.0
    """Of a language model."""

    @property
    def name(self) -> str:
        """For people, as `demo edit 0`."""
        what = f"{self.row} {self.dropout:g}" if self.row == LANGUAGE_MODEL else self.row
        return f"{self.corpus} {what} {self.seed}"


def tasks_of(plan: Plan) -> list[Task]:
    """Return all tasks: language models first, since every row is compared with the best of them,
    then seed by seed, so that a table of one seed is complete early."""
    pairs = [(seed, corpus.name) for seed in plan.seeds for corpus in plan.corpora]
    language_models = [
        Task(corpus.name, LANGUAGE_MODEL, seed, dropout)
        for seed in language_model_seeds(plan)
        for corpus in plan.corpora
        for dropout in plan.dropouts
    ]
    rows = [row for row in dict.fromkeys(plan.rows) if row != LANGUAGE_MODEL]
    return language_models + [Task(corpus, row, seed) for seed, corpus in pairs for row in rows]


def language_model_seeds(plan: Plan) -> tuple[int, ...]:
    """Return the seeds of the language models."""
    return plan.seeds[:1] if plan.one_language_model else plan.seeds


def language_model_tasks(plan: Plan, corpus: str, seed: int) -> list[Task]:
    """Return the language models that rows of this corpus and seed are compared with."""
    their_seed = plan.seeds[0] if plan.one_language_model else seed
    return [Task(corpus, LANGUAGE_MODEL, their_seed, dropout) for dropout in plan.dropouts]


def dependencies(plan: Plan, task: Task) -> list[Task]:
    """Return the tasks that must be done before this one can begin."""
    return [] if task.row == LANGUAGE_MODEL else language_model_tasks(plan, task.corpus, task.seed)


def folder_of(plan: Plan, task: Task) -> Path:
    """Return the folder of a task, which has everything but the published version."""
    corpus_folder = plan.folder / task.corpus
    if task.row == LANGUAGE_MODEL:
        return corpus_folder / LANGUAGE_MODEL / f"{task.dropout:g}-{task.seed}"
    return corpus_folder / "rows" / f"{task.row}-{task.seed}"


def corpus_of(plan: Plan, task: Task) -> PreparedCorpus:
    """Return the corpus of the task."""
    return next(corpus for corpus in plan.corpora if corpus.name == task.corpus)


def recipe_of(plan: Plan, task: Task) -> Recipe:
    """Return the recipe of the task."""
    if task.row == LANGUAGE_MODEL:
        return language_model_recipe(plan.base, task.dropout, task.seed)
    return row_recipe(task.row, plan.base, plan.latent, task.seed)


def evaluation_of(plan: Plan, task: Task) -> EvaluationConfig:
    """Return the settings of the task's evaluation."""
    if task.row == LANGUAGE_MODEL or not ROWS[task.row].likelihood or not plan.likelihood_samples:
        return plan.evaluation
    return dataclasses.replace(plan.evaluation, importance_samples=plan.likelihood_samples)


def training_stamp(plan: Plan, task: Task) -> str:
    """Return 16 hexadecimal digits of all that the weights depend on."""
    sections = [to_mapping(section) for section in recipe_of(plan, task)]
    for name in _IRRELEVANT:
        del sections[-1][name]
    parts = [sections, corpus_of(plan, task).key]
    if starts_as_language_model(plan, task):
        parts += [training_stamp(plan, other) for other in dependencies(plan, task)]
    return _digest(parts)


def starts_as_language_model(plan: Plan, task: Task) -> bool:
    """Return whether the task's weights begin as those of the best language model."""
    return recipe_of(plan, task).training.decoder_start == "language-model"


def result_stamp(plan: Plan, task: Task) -> str:
    """Return 16 hexadecimal digits of all that the figures depend on."""
    language_models = [training_stamp(plan, other) for other in dependencies(plan, task)]
    evaluation = to_mapping(evaluation_of(plan, task))
    return _digest([training_stamp(plan, task), language_models, evaluation])


def result_of(plan: Plan, task: Task) -> dict[str, Any] | None:
    """Return the task's row.json, or None if it is not done or was done with other settings."""
    path = folder_of(plan, task) / "row.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found if found["settings"] == result_stamp(plan, task) else None


def best_language_model(plan: Plan, corpus: str, seed: int) -> Task:
    """Return the language model of the least nats on the validation side; all must be done."""
    done = []
    for task in language_model_tasks(plan, corpus, seed):
        found = result_of(plan, task)
        assert found is not None, f"{task.name} must be done first"
        done.append((found["valid_nats"], task))
    return min(done)[1]


def _digest(value: Any) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of JSON values."""
    return hashlib.sha256(files.canonical_json(value)).hexdigest()[:16]
