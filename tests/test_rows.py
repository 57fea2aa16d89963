"""The rows of the quality table: their recipes, and the summary of their figures."""

import dataclasses
import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from textvae import files
from textvae.config.evaluation import EvaluationConfig
from textvae.experiments.figures import collapsed_at_step, paired_figures
from textvae.experiments.pages import format_page
from textvae.experiments.rows import ROWS, base_recipe, row_recipe, scale_of
from textvae.experiments.table import build_table
from textvae.experiments.tasks import (
    Plan,
    PreparedCorpus,
    Task,
    dependencies,
    folder_of,
    result_stamp,
    tasks_of,
    training_stamp,
)

SCALE = scale_of("small")
FACTS = ("train_sentences", "valid_sentences", "test_sentences", "vocab")


def test_mean_and_spread_are_those_of_the_rows(tmp_path: Path) -> None:
    """Of row.json files written by hand; a figure that one seed lacks has no mean."""
    corpus = PreparedCorpus("hand", tmp_path, tmp_path, 0, "key", dict.fromkeys(FACTS, 1000))
    plan = Plan(
        tmp_path,
        (corpus,),
        base_recipe(SCALE),
        4,
        ("lm",),
        (0, 1, 2),
        (0.1, 0.3),
        EvaluationConfig(),
        0,
        False,
        1,
    )
    values = {0: 90.0, 1: 92.5, 2: 91.0}
    for task in tasks_of(plan):
        nats = values[task.seed] + 10 * task.dropout
        figures: dict[str, Any] = {"language_model_nats": nats}
        if task.row == "lm":
            figures = {
                "iw_nll_nats": values[task.seed],
                "kl_nats": None if task.seed == 2 else 20.0,
                "samples_standard": ["text"],
                "verdict": "healthy" if task.seed else "collapsed",
                "collapsed_at_step": None if task.seed else 300,
            }
        found = {**task._asdict(), "settings": result_stamp(plan, task), "valid_nats": nats}
        files.write_json(folder_of(plan, task) / "row.json", {**found, "figures": figures})
    table = build_table(plan)
    assert table["missing"] == []
    row = table["corpora"]["hand"]["rows"][0]
    assert row["figures"]["iw_nll_nats"] == {
        "mean": pytest.approx(statistics.mean(values.values())),
        "spread": pytest.approx(statistics.stdev(values.values())),
        "values": [90.0, 92.5, 91.0],
    }
    assert row["figures"]["kl_nats"] == {"mean": None, "spread": None, "values": [20.0, 20.0, None]}
    assert set(row["figures"]) == {"iw_nll_nats", "kl_nats"}
    line = next(line for line in format_page(table).splitlines() if line.startswith("| lm |"))
    assert "| 91.17 \u00b1 1.26 |" in line
    assert line.endswith("| collapsed (1 of 3); healthy (2 of 3); watchdog at step 300 |")
    best = table["corpora"]["hand"]["language_models"][0]
    assert best["dropouts"] == [0.1, 0.1, 0.1]
    assert best["figures"]["language_model_nats"]["values"] == [91.0, 93.5, 92.0]


def test_rows_of_all_seeds_may_share_the_first_seeds_language_models(tmp_path: Path) -> None:
    """Which are then trained once, and decide what every row is compared with."""
    corpus = PreparedCorpus("hand", tmp_path, tmp_path, 0, "key", dict.fromkeys(FACTS, 1000))
    base = base_recipe(SCALE)
    plan = Plan(
        tmp_path, (corpus,), base, 4, ("lm",), (7, 8), (0.1,), EvaluationConfig(), 0, False, 1
    )
    shared = plan._replace(one_language_model=True)
    assert [task.name for task in tasks_of(plan)[:2]] == [
        "hand language-model 0.1 7",
        "hand language-model 0.1 8",
    ]
    assert [task.name for task in tasks_of(shared)] == [
        "hand language-model 0.1 7",
        "hand lm 7",
        "hand lm 8",
    ]
    last = tasks_of(shared)[-1]
    assert dependencies(shared, last) == tasks_of(shared)[:1]
    assert result_stamp(shared, last) != result_stamp(plan, last)


def test_a_row_that_begins_as_the_language_model_is_learned_again_with_another(
    tmp_path: Path,
) -> None:
    """A row whose decoder begins anew is only compared with it, so it is only measured again."""
    corpus = PreparedCorpus("hand", tmp_path, tmp_path, 0, "key", dict.fromkeys(FACTS, 1000))
    base = base_recipe(SCALE)
    rows = ("lm", "lm-new-decoder")
    plan = Plan(tmp_path, (corpus,), base, 4, rows, (7,), (0.1,), EvaluationConfig(), 0, False, 1)
    other = plan._replace(dropouts=(0.1, 0.2))
    for row, again in zip(rows, (True, False), strict=True):
        task = Task("hand", row, 7)
        assert (training_stamp(plan, task) != training_stamp(other, task)) == again
        assert result_stamp(plan, task) != result_stamp(other, task)


def test_one_seed_has_an_interval_and_no_spread() -> None:
    """Four pairs whose differences are 0, -1, -1 and -2: a mean of -1 and an error of 0.408."""
    found = paired_figures("iw_nll", [10.0, 10.0, 11.0, 12.0], [10.0, 11.0, 12.0, 14.0])
    assert found["iw_nll_minus_language_model_nats"] == -1
    error = statistics.stdev([0, -1, -1, -2]) / 2
    assert found["iw_nll_minus_language_model_nats_high"] == pytest.approx(-1 + 1.96 * error)
    assert found["iw_nll_minus_language_model_nats_low"] == pytest.approx(-1 - 1.96 * error)
    one = paired_figures("iw_nll", [10.0], [11.0])
    assert math.isnan(one["iw_nll_minus_language_model_nats_low"])


def test_the_watchdogs_step_is_the_first_collapsed_validation_once_armed(tmp_path: Path) -> None:
    """Validation before half of the annealing, or of the warm-up, does not count."""
    training = dataclasses.replace(base_recipe(SCALE).training, kl_steps=2000, steps=4000)
    metrics = tmp_path / "metrics.jsonl"
    steps = [("autoencoder", 1200, 0.0), ("vae", 900, 0.0), ("vae", 1100, 2.0), ("vae", 1400, 0.5)]
    for phase, step, nats in steps:
        figures = {"valid_shuffle_nats": nats, "valid_kl_nats": 1.0}
        files.append_line(metrics, json.dumps({"phase": phase, "step": step, **figures}))
    files.append_line(metrics, json.dumps({"phase": "vae", "step": 1500, "kl_nats": 0.0}))
    assert collapsed_at_step(metrics, training) == 1400
    files.truncate_lines(metrics, lambda line: '"step": 1400' not in line)
    assert collapsed_at_step(metrics, training) is None


@pytest.mark.parametrize("scale", ["small", "full"])
def test_every_row_is_a_recipe_of_its_own_at_the_sizes_of_the_scale(scale: str) -> None:
    sizes = scale_of(scale)
    recipes = [row_recipe(name, base_recipe(sizes), 0, seed=7) for name in ROWS]
    for recipe in recipes:
        assert (recipe.model.hidden, recipe.training.steps) == (sizes.hidden, sizes.steps)
        assert recipe.training.seed == 7
        assert not recipe.training.collapse_stops
    # Where bf16 is asked for or not, one of the two is what `auto` takes; all else differs.
    assert len({repr(recipe) for recipe in recipes}) == len(recipes)


@pytest.mark.parametrize("row", [row for row in ROWS if "-without-" in row or "-at-" in row])
def test_an_ablation_changes_what_it_says_and_nothing_else(row: str) -> None:
    """Nor is any of what it says already so in what it is compared with."""
    like = re.split("-without-|-at-", row)[0]
    one, other = (row_recipe(name, base_recipe(SCALE), 0, seed=0) for name in (row, like))
    differing = {
        field.name
        for mine, its in zip(one, other, strict=True)
        for field in dataclasses.fields(mine)
        if getattr(mine, field.name) != getattr(its, field.name)
    }
    assert differing == {*ROWS[row].model, *ROWS[row].training}
    assert differing
