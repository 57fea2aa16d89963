"""A run is resumed only under the arithmetic that it was begun with."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits

from tests.job_runs import prepared, ran_job
from tests.test_start import corpus, learn, recipe
from textvae.errors import InputError
from textvae.training.conditions import RECORD, check_conditions, conditions
from textvae.training.ranks import Ranks
from textvae.training.recipe import Recipe
from textvae.training.run import Candidate


class CutError(Exception):
    """Stands for the end of a process between two steps."""


def interrupted_run(what: Recipe, run: Path, phase: str = "vae", step: int = 5) -> Path:
    """Interrupt a run after a step; return the folder of its checkpoints."""

    def on_progress(at: str, done: int, steps: int, figures: Mapping[str, float]) -> None:
        if (at, done) == (phase, step):
            raise CutError

    with pytest.raises(CutError):
        learn(what, corpus(200), run, on_progress=on_progress)
    return run / "checkpoints"


def rewrite_record(checkpoints: Path, **changes: str) -> None:
    """Change the recorded conditions of a run."""
    record = json.loads((checkpoints / RECORD).read_bytes())
    (checkpoints / RECORD).write_text(json.dumps({**record, **changes}))


@pytest.fixture(scope="module")
def what() -> Recipe:
    """A recipe with a checkpoint after every step."""
    return recipe(checkpoint_s=0.0, precision="fp32")


@pytest.fixture(scope="module")
def uninterrupted(what: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """What an uninterrupted run learns."""
    return learn(what, corpus(200), tmp_path_factory.mktemp("uninterrupted"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("torch", "1.0"),
        ("threads", "64"),
        ("compiled", "C for 2 lanes"),
        ("processor", "Z80"),
    ],
)
def test_a_run_that_was_begun_otherwise_is_refused_with_what_differs(
    what: Recipe, uninterrupted: Candidate, tmp_path: Path, name: str, value: str
) -> None:
    """And stays as it is: under its own conditions it goes on."""
    checkpoints = interrupted_run(what, tmp_path / "run")
    now = conditions(what.training)[name]
    rewrite_record(checkpoints, **{name: value})
    with pytest.raises(InputError) as refused:
        learn(what, corpus(200), tmp_path / "run")
    assert f"run was begun with {name} {value} (now {now})" in str(refused.value)
    assert "--training.restart or without its folder" in str(refused.value)
    rewrite_record(checkpoints, **{name: now})
    assert learn(what, corpus(200), tmp_path / "run").files == uninterrupted.files


def test_a_finished_phase_of_another_arithmetic_is_not_joined_with_a_new_one(
    what: Recipe, tmp_path: Path
) -> None:
    """The manifest would say of both what is true of the second."""
    rewrite_record(interrupted_run(what, tmp_path, "language-model", 2), torch="1.0")
    with pytest.raises(InputError, match=r"torch 1\.0"):
        learn(what, corpus(200), tmp_path)


def test_another_number_of_threads_is_another_arithmetic(what: Recipe, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        interrupted_run(what, tmp_path)
        torch.set_num_threads(2)
        with (
            threadpool_limits(2),
            pytest.raises(InputError, match=r"threads 1 \(now 2\), and resuming"),
        ):
            learn(what, corpus(200), tmp_path)
    finally:
        torch.set_num_threads(before)


def test_bf16_does_not_resume_what_fp32_began(what: Recipe) -> None:
    """Where "auto" decides, the processor does, and another one may take the run up."""
    bf16 = dataclasses.replace(what.training, precision="bf16")
    assert conditions(what.training)["arithmetic"] == "fp32"
    assert conditions(bf16)["arithmetic"] == "bf16"


def test_a_restart_begins_anew_and_its_weights_are_those_of_a_run_left_alone(
    what: Recipe, uninterrupted: Candidate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The setting is no part of what is learned: the version says nothing of it."""
    rewrite_record(interrupted_run(what, tmp_path / "run"), threads="64")
    again = what._replace(training=dataclasses.replace(what.training, restart=True))
    seen: list[tuple[str, int]] = []

    def on_progress(phase: str, done: int, steps: int, figures: Mapping[str, float]) -> None:
        seen.append((phase, done))

    assert learn(again, corpus(200), tmp_path / "run", on_progress=on_progress) == uninterrupted
    assert seen[0] == ("vae", 1), "nothing of the old run is left"
    assert "begun anew, it was begun with threads 64" in caplog.text


def test_a_restart_takes_nothing_from_a_run_that_can_resume(what: Recipe, tmp_path: Path) -> None:
    interrupted_run(what, tmp_path)
    again = what._replace(training=dataclasses.replace(what.training, restart=True))
    seen: list[tuple[str, int]] = []

    def on_progress(phase: str, done: int, steps: int, figures: Mapping[str, float]) -> None:
        seen.append((phase, done))

    learn(again, corpus(200), tmp_path, on_progress=on_progress)
    assert seen[0][1] > 1


def test_checkpoints_without_a_record_are_refused_and_a_cut_before_the_first_is_not(
    what: Recipe, tmp_path: Path
) -> None:
    checkpoints = interrupted_run(what, tmp_path / "run")
    (checkpoints / RECORD).unlink()
    with pytest.raises(InputError, match=r"begun with a textvae that wrote no conditions\.json"):
        check_conditions(checkpoints, conditions(what.training), False, Ranks())
    (tmp_path / "other" / "checkpoints").mkdir(parents=True)
    check_conditions(tmp_path / "other" / "checkpoints", conditions(what.training), False, Ranks())
    assert (tmp_path / "other" / "checkpoints" / RECORD).exists()


def test_the_job_ends_with_exit_code_2_and_names_the_flag(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "text")
    ran_job(folder, "ingest")
    first = ran_job(folder, "train").line
    rewrite_record(folder / first["run"] / "checkpoints", torch="1.0")
    refused = ran_job(folder, "train").line
    assert (refused["exit_code"], refused["kind"]) == (2, "InputError")
    assert "torch 1.0 (now" in refused["error"]
