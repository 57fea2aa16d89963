"""What a quality table takes: its tasks in order, where each lies, and which are done already.

A task is one training: a language model of the grid of dropouts, or a row with a seed. Its result
is a row.json that carries the stamp of all settings that matter, so that no task is done twice and
none is taken for another.
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

# When a checkpoint is saved and how often a line is written changes no figure.
_NO_MATTER = ("checkpoint_s", "log_steps")


class PreparedCorpus(NamedTuple):
    """A corpus that lies ready below the table's folder."""

    name: str
    spans: Path
    tokenizer: Path
    sentences: int
    """Training sentences kept, the first by hash; 0 for all."""
    key: str
    """SHA-256 of the text, of the choice from it and of the tokenizer, in hexadecimal."""
    facts: dict[str, Any]
    """Counts for the table."""

    def load(self) -> Corpus:
        """The sentences, verified and chosen. Raises CorruptError, NotFoundError."""
        return select_training_sentences(load_spans(self.spans), self.sentences)


def select_training_sentences(corpus: Corpus, sentences: int) -> Corpus:
    """The corpus with the first training sentences by hash, in their order there; 0: all."""
    if not sentences:
        return corpus
    kept = frozenset(first_texts_by_hash(corpus.train, sentences))
    return corpus._replace(train=[row for row in corpus.train if row.text in kept])


class Plan(NamedTuple):
    """All that decides a table."""

    folder: Path
    corpora: tuple[PreparedCorpus, ...]
    base: Recipe
    latent: int
    """Width of every row's latent; 0: each preset's own."""
    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    dropouts: tuple[float, ...]
    """Of the language models, the best of which is the one to beat."""
    evaluation: EvaluationConfig
    likelihood_samples: int
    """Importance samples of the rows about the likelihood; 0: as the others."""
    one_language_model: bool
    """Whether the rows of all seeds share the language models of the first."""
    threads: int
    """Of the arithmetic of one task; another number may change the last bits of a figure."""


class Task(NamedTuple):
    """One training and what is measured of it."""

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
    """Language models first, since every row is compared with the best of them; then seed by seed,
    so that a table with one seed is there soon."""
    pairs = [(seed, corpus.name) for seed in plan.seeds for corpus in plan.corpora]
    learned = [
        Task(corpus.name, LANGUAGE_MODEL, seed, dropout)
        for seed in language_model_seeds(plan)
        for corpus in plan.corpora
        for dropout in plan.dropouts
    ]
    rows = [row for row in dict.fromkeys(plan.rows) if row != LANGUAGE_MODEL]
    return learned + [Task(corpus, row, seed) for seed, corpus in pairs for row in rows]


def language_model_seeds(plan: Plan) -> tuple[int, ...]:
    """The seeds that language models are trained with."""
    return plan.seeds[:1] if plan.one_language_model else plan.seeds


def language_model_tasks(plan: Plan, corpus: str, seed: int) -> list[Task]:
    """The language models that rows of this corpus and seed are compared with."""
    own = plan.seeds[0] if plan.one_language_model else seed
    return [Task(corpus, LANGUAGE_MODEL, own, dropout) for dropout in plan.dropouts]


def dependencies(plan: Plan, task: Task) -> list[Task]:
    """What must be done before the task can begin."""
    return [] if task.row == LANGUAGE_MODEL else language_model_tasks(plan, task.corpus, task.seed)


def folder_of(plan: Plan, task: Task) -> Path:
    """Where all of a task lies but the published version."""
    place = plan.folder / task.corpus
    if task.row == LANGUAGE_MODEL:
        return place / LANGUAGE_MODEL / f"{task.dropout:g}-{task.seed}"
    return place / "rows" / f"{task.row}-{task.seed}"


def corpus_of(plan: Plan, task: Task) -> PreparedCorpus:
    """The task's corpus."""
    return next(corpus for corpus in plan.corpora if corpus.name == task.corpus)


def recipe_of(plan: Plan, task: Task) -> Recipe:
    """What the task learns by."""
    if task.row == LANGUAGE_MODEL:
        return language_model_recipe(plan.base, task.dropout, task.seed)
    return row_recipe(task.row, plan.base, plan.latent, task.seed)


def evaluation_of(plan: Plan, task: Task) -> EvaluationConfig:
    """What the task is measured by."""
    if task.row == LANGUAGE_MODEL or not ROWS[task.row].likelihood or not plan.likelihood_samples:
        return plan.evaluation
    return dataclasses.replace(plan.evaluation, importance_samples=plan.likelihood_samples)


def learning_stamp(plan: Plan, task: Task) -> str:
    """What the weights depend on, as 16 hexadecimal digits."""
    sections = [to_mapping(section) for section in recipe_of(plan, task)]
    for name in _NO_MATTER:
        del sections[-1][name]
    parts = [sections, corpus_of(plan, task).key]
    if starts_as_language_model(plan, task):
        parts += [learning_stamp(plan, other) for other in dependencies(plan, task)]
    return _digest(parts)


def starts_as_language_model(plan: Plan, task: Task) -> bool:
    """Whether the weights of the best language model are where the task's begin."""
    return recipe_of(plan, task).training.decoder_start == "language-model"


def stamp(plan: Plan, task: Task) -> str:
    """What the figures depend on, as 16 hexadecimal digits."""
    compared = [learning_stamp(plan, other) for other in dependencies(plan, task)]
    measured = to_mapping(evaluation_of(plan, task))
    return _digest([learning_stamp(plan, task), compared, measured])


def result_of(plan: Plan, task: Task) -> dict[str, Any] | None:
    """The task's row.json; None where it is not done, or was done with other settings."""
    path = folder_of(plan, task) / "row.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found if found["settings"] == stamp(plan, task) else None


def best_language_model(plan: Plan, corpus: str, seed: int) -> Task:
    """The language model to beat: the least nats on the validation side, of those all done."""
    done = []
    for task in language_model_tasks(plan, corpus, seed):
        found = result_of(plan, task)
        assert found is not None, f"{task.name} must be done first"
        done.append((found["valid_nats"], task))
    return min(done)[1]


def _digest(value: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of plain values."""
    return hashlib.sha256(files.canonical_json(value)).hexdigest()[:16]
