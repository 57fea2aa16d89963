"""The quality table: mean and spread of every figure over the seeds, as JSON and as Markdown.

It holds no times, paths or numbers of threads: on the CPU the same settings give the same bytes.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textvae import errors, files
from textvae.errors import InputError, TextVaeError
from textvae.experiments.pages import format_page
from textvae.experiments.rows import LANGUAGE_MODEL, ROWS
from textvae.experiments.tasks import (
    Plan,
    Task,
    best_language_model,
    language_model_seeds,
    language_model_tasks,
    result_of,
    tasks_of,
)
from textvae.experiments.workers import Failure, run_tasks
from textvae.progress import ProgressCallback
from textvae.settings import to_mapping
from textvae.store.attachments import json_values

FORMAT = 1


class Spread(NamedTuple):
    """A figure over the seeds."""

    mean: float | None
    """None where the figure of a seed is not a number."""
    spread: float | None
    """Standard deviation over the seeds (of a sample, n - 1); None for one seed."""
    values: list[float | None]
    """One a seed, in the order of the seeds."""


def make_table(plan: Plan, workers: int, on_progress: ProgressCallback) -> Path:
    """Run the tasks that are not done; write `table.json` and `table.md` after each and at the end.

    Returns the path of table.md. Raises the error of the first task that failed when all others
    are done, KeyboardInterrupt once checkpoints are saved, and OSError.
    """

    def write_table(_: Task | None = None) -> None:
        table = json_values(build_table(plan))
        files.write_json(plan.folder / "table.json", table)
        files.write_text(plan.folder / "table.md", format_page(table))

    failures = run_tasks(plan, tasks_of(plan), workers, on_progress, write_table)
    write_table()
    if failures:
        raise _error_of(failures)
    return plan.folder / "table.md"


def build_table(plan: Plan) -> dict[str, Any]:
    """Return the results so far as JSON values; `missing` names the tasks that are not done."""
    tasks = tasks_of(plan)
    results = {task: result_of(plan, task) for task in tasks}
    corpora = {}
    for corpus in plan.corpora:
        done = {
            task: found for task, found in results.items() if found and task.corpus == corpus.name
        }
        names = dict.fromkeys(task.row for task in done if task.row != LANGUAGE_MODEL)
        rows = [
            summarize_row(row, [found for task, found in done.items() if task.row == row])
            for row in names
        ]
        corpora[corpus.name] = {
            "facts": corpus.facts,
            "language_models": _language_models(plan, corpus.name, done),
            "rows": rows,
        }
    return {
        "format": FORMAT,
        "settings": _settings(plan),
        "legend": {row: ROWS[row].description for row in plan.rows if row in ROWS},
        "corpora": corpora,
        "missing": [task.name for task, found in results.items() if found is None],
    }


def summarize_row(row: str, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one line of a table from the row.json of each seed: figures over seeds, and verdicts.

    Figures that only some seeds have, or that are not numbers, are left out.
    """
    ordered = sorted(results, key=lambda found: found["seed"])
    figures = [found["figures"] for found in ordered]
    names = [
        name
        for name in figures[0]
        if all(_is_number(seed.get(name, "")) for seed in figures) and name != "collapsed_at_step"
    ]
    verdicts = Counter(seed["verdict"] for seed in figures if seed.get("verdict"))
    return {
        "row": row,
        "seeds": [found["seed"] for found in ordered],
        "figures": {name: spread_of([seed[name] for seed in figures])._asdict() for name in names},
        "collapsed_at_step": [seed.get("collapsed_at_step") for seed in figures],
        "verdicts": dict(sorted(verdicts.items())),
    }


def spread_of(values: Sequence[float | None]) -> Spread:
    """Return mean and standard deviation of one or more values; no mean where one is None."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Spread(None, None, list(values))
    with np.errstate(over="ignore"):  # perplexities of degenerate text have no bound
        deviation = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return Spread(math.fsum(known) / len(known), deviation, list(values))


def _is_number(value: object) -> bool:
    """Return whether a figure can be averaged: a number, or null for one that is not finite."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _language_models(
    plan: Plan, corpus: str, done: Mapping[Task, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return a line for each dropout of the grid, after one for the best of each seed."""
    complete_seeds = [
        seed
        for seed in language_model_seeds(plan)
        if all(task in done for task in language_model_tasks(plan, corpus, seed))
    ]
    best = [best_language_model(plan, corpus, seed) for seed in complete_seeds]
    lines = []
    if best:
        line = summarize_row(LANGUAGE_MODEL, [done[task] for task in best])
        lines.append({**line, "dropouts": [task.dropout for task in best]})
    for dropout in plan.dropouts:
        results = [
            {**found, "figures": {**found["figures"], "valid_nats": found["valid_nats"]}}
            for task, found in done.items()
            if task.row == LANGUAGE_MODEL and task.dropout == dropout
        ]
        if results:
            line = summarize_row(f"{LANGUAGE_MODEL}-{dropout:g}", results)
            lines.append({**line, "best_of_seeds": sum(task.dropout == dropout for task in best)})
    return lines


def _settings(plan: Plan) -> dict[str, Any]:
    """Return the settings that decide the figures: no paths, times or threads."""
    training = to_mapping(plan.base.training)
    budget = ("steps", "language_model_steps", "batch", "kl_steps", "learning_rate")
    return {
        "corpora": [corpus.name for corpus in plan.corpora],
        "rows": list(plan.rows),
        "seeds": list(plan.seeds),
        "sentences": plan.corpora[0].sentences,
        "dropouts": list(plan.dropouts),
        "one_language_model": plan.one_language_model,
        "device": plan.base.training.device,
        "vocab": plan.base.tokenizer.vocab,
        "embed": plan.base.model.embed,
        "hidden": plan.base.model.hidden,
        "latent": plan.latent,
        **{name: training[name] for name in budget},
        "validation_steps": plan.base.training.validation_steps,
        "autoencoder_steps": plan.base.training.autoencoder_steps,
        "likelihood_samples": plan.likelihood_samples,
        "evaluation": to_mapping(plan.evaluation),
    }


def _error_of(failures: Sequence[Failure]) -> Exception:
    """Return the first failure as its error, with the names of the others."""
    first = failures[0]
    message = f"{first.task.name}: {first.message}"
    if len(failures) > 1:
        message += f"; in all {len(failures)} rows failed: "
        message += ", ".join(failure.task.name for failure in failures)
    if first.kind == InputError.__name__:
        return InputError("rows", message)
    kind = getattr(errors, first.kind, None)
    if isinstance(kind, type) and issubclass(kind, TextVaeError):
        return kind(message)
    return OSError(message) if first.kind.endswith("OSError") else RuntimeError(message)
