"""Epochs are another word for steps: same weights, same resumption, and a word where too many."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from jobs import train as train_job
from tests import toys
from tests.test_start import corpus as spans_of
from tests.test_start import recipe as quick
from tests.tiny_runs import KilledError, learn, lines, tiny
from textvae.config.training import TrainingConfig
from textvae.errors import InputError
from textvae.text.batches import Batches, store_tokens
from textvae.training.epochs import EPOCHS_MAX, epochs_facts, epochs_of, epochs_warning
from textvae.training.plan import plan_training
from textvae.training.recipe import Recipe, epoch_steps
from textvae.training.run import run_name
from textvae.training.start import FRESH, Ancestor, Start

ANCESTOR = Start("", Ancestor("a", Path(), {}))


def with_training(**settings: Any) -> Recipe:
    recipe = tiny()
    return recipe._replace(training=TrainingConfig(**settings))


@pytest.mark.parametrize(
    ("epochs", "sentences", "batch", "steps"),
    [(1, 10_000, 128, 79), (3, 10_000, 128, 237), (0.5, 10_000, 128, 40), (2, 3, 128, 2),
     (0.001, 100, 128, 1)],
)  # fmt: skip
def test_epochs_are_so_many_steps(epochs: float, sentences: int, batch: int, steps: int) -> None:
    run = with_training(epochs=epochs, batch=batch).in_steps(sentences).training
    assert (run.steps, run.language_model_steps, run.epochs) == (steps, steps, 0)
    assert run.kl_steps == min(2000, steps // 2)
    assert run.warmup_steps == min(200, steps // 10)
    store = store_tokens([[1]] * sentences, 1).store
    assert Batches(store, batch, 0).per_epoch == epoch_steps(sentences, batch)


def test_without_epochs_a_recipe_stays_as_it_is() -> None:
    recipe = with_training(steps=7)
    assert recipe.in_steps(1000) is recipe
    with pytest.raises(InputError, match=r"training\.epochs: must be 0 or more"):
        TrainingConfig(epochs=-1)


def test_from_a_champion_warm_steps_win_and_annealing_stays_off() -> None:
    recipe = with_training(epochs=10, batch=64, kl_steps=100)
    fresh = plan_training(recipe, FRESH, 640).run.training
    assert (fresh.steps, fresh.kl_steps) == (100, 50)
    warm = plan_training(recipe, ANCESTOR, 640).run.training
    assert (warm.steps, warm.language_model_steps, warm.kl_steps) == (100, 100, 0)
    short = recipe._replace(training=dataclasses.replace(recipe.training, warm_steps=7))
    warm = plan_training(short, ANCESTOR, 640).run.training
    assert (warm.steps, warm.language_model_steps) == (7, 7)
    assert plan_training(recipe, ANCESTOR, 640).manifest.training.epochs == 10


def test_epochs_and_their_steps_give_the_same_weights_killed_or_not(tmp_path: Path) -> None:
    """Of 2,000 sentences in batches of 64: 32 steps an epoch. Siblings change nothing in that."""
    epochs = tiny(epochs=0.75, log_steps=4, validation_steps=12)
    steps = tiny(steps=24, language_model_steps=24, warmup_steps=2)
    one, other = learn(epochs, tmp_path / "one"), learn(steps, tmp_path / "other")
    for phase in ("vae", "language-model"):
        with pytest.raises(KilledError):
            learn(epochs, tmp_path / "killed", (phase, 13))
    resumed = learn(epochs, tmp_path / "killed")
    weights = [name for name in one.files if name.endswith(".safetensors")]
    assert len(weights) == 2
    for name in weights:
        assert one.files[name] == other.files[name] == resumed.files[name]
    assert one.facts["steps"] == {"vae": 24, "language-model": 24} == resumed.facts["steps"]
    assert max(line["step"] for line in lines(tmp_path / "killed")) == 24


def test_a_run_that_goes_on_keeps_its_name_and_other_epochs_are_another_run() -> None:
    text = toys.corpus()
    names = {run_name(tiny(epochs=epochs), text, "") for epochs in (0.0, 1.0, 1.0, 2.0)}
    assert len(names) == 3


def test_the_log_says_how_many_epochs_a_run_is_and_when_they_are_too_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = spans_of(40)
    made = quick(epochs=3.0, batch=16, start="fresh")
    from textvae.training.run import train

    with caplog.at_level(logging.INFO):
        train(made, few, tmp_path / "run", "", lambda *_: None)
    assert "9 steps of 16 sentences: 3 epochs of 40 sentences" in caplog.text
    assert "training.epochs 3 wins: steps 9, language_model_steps 9, kl_steps 4" in caplog.text
    assert "have not helped" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        train(quick(steps=301, batch=40), few, tmp_path / "long", "", lambda *_: None)
    assert "301 steps are 301 epochs of 40 sentences" in caplog.text


def test_a_warning_names_the_steps_that_are_enough() -> None:
    assert epochs_of(20_000, 10_000, 128) == pytest.approx(253.2, abs=0.1)
    assert epochs_warning(79 * int(EPOCHS_MAX), 10_000, 128) == ""
    warning = epochs_warning(20_000, 10_000, 128)
    assert "20,000 steps are 253 epochs of 10,000 sentences" in warning
    assert f"training.steps to {79 * int(EPOCHS_MAX):,} or fewer" in warning
    facts = {"steps": {"vae": 20_000}, "train_sentences": 10_000}
    assert epochs_facts(facts, 128) == {"epochs": 253.16, "warnings": [warning]}
    assert epochs_facts({**facts, "train_sentences": 10**6}, 128) == {"epochs": 2.56}


def test_the_result_of_a_training_has_epochs_and_every_warning() -> None:
    facts = {"steps": {"vae": 20_000}, "train_sentences": 10_000}
    said = train_job._learned(TrainingConfig(sibling_share=0.5), facts)
    assert (said["epochs"], said["siblings"], len(said["warnings"])) == (253.16, 0, 2)
    calm = train_job._learned(TrainingConfig(), {**facts, "train_sentences": 10**6})
    assert calm == {"epochs": 2.56}
