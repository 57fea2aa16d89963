"""Every job's manners: settings in, one JSON line, result.json and an exit code out."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from textvae.store.decisions import attach_decision
from textvae.store.promotions import champion, promotion_history
from textvae.store.versions import Version, publish

ROOT = Path(__file__).parent.parent
JOB = '''
import sys, time
from dataclasses import dataclass
from pathlib import Path

from jobs.command import run_job
from textvae import errors
from textvae.config.data import StoreConfig
from textvae.config.training import TrainingConfig


@dataclass(frozen=True)
class Toy:
    """A job that ends as its flag says."""

    then: str
    """How it shall end."""
    store: StoreConfig = StoreConfig()
    training: TrainingConfig = TrainingConfig()


def main(settings):
    print("a table for people")
    if settings.then == "wait":
        try:
            Path("waiting").touch()
            time.sleep(60)
        finally:
            Path("saved").touch()
    if settings.then == "InputError":
        raise errors.InputError("training.steps", "must be 1 or more, got 0")
    if hasattr(errors, settings.then):
        raise getattr(errors, settings.then)("why it ended")
    if settings.then == "disk":
        raise OSError(28, "No space left on device")
    if settings.then == "bug":
        raise ZeroDivisionError("why it ended")
    if settings.then == "nan":
        return {"outcome": "done", "loss": float("nan")}
    if settings.then == "silent":
        return {}
    training = settings.training
    return {"outcome": "done", "steps": training.steps, "batch": training.batch}


if __name__ == "__main__":
    run_job("toy", Toy, main)
'''


class Ended:
    """A job that has ended: its code, what it printed, and its JSON line."""

    def __init__(self, folder: Path, *command: str) -> None:
        run = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.code, self.stdout, self.stderr = run.returncode, run.stdout, run.stderr

    @property
    def line(self) -> dict[str, Any]:
        """The JSON line, which must be all that stands on stdout."""
        assert self.stdout.count("\n") == 1, self.stdout
        line: dict[str, Any] = json.loads(self.stdout)
        assert line["exit_code"] == self.code
        return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working folder with the toy job in it."""
    (tmp_path / "toy.py").write_text(JOB)
    return tmp_path


def test_a_job_says_one_json_line_and_writes_the_same_as_result(folder: Path) -> None:
    ended = Ended(folder, "toy.py", "--then", "end")
    assert ended.line == {
        "job": "toy",
        "outcome": "done",
        "exit_code": 0,
        "steps": 20_000,
        "batch": 128,
    }
    assert "a table for people" in ended.stderr
    assert json.loads((folder / "runs/toy/result.json").read_bytes()) == ended.line


def test_flags_win_over_the_file_and_the_file_over_defaults(folder: Path) -> None:
    (folder / "toy.toml").write_text("[training]\nsteps = 7\nbatch = 8\n[data]\nwords_max = 9\n")
    ended = Ended(
        folder, "toy.py", "--config", "toy.toml", "--then", "end", "--training.steps", "5"
    )
    assert (ended.line["steps"], ended.line["batch"]) == (5, 8)


def test_the_result_goes_where_it_is_asked_for(folder: Path) -> None:
    ended = Ended(folder, "toy.py", "--then", "bug", "--result", "here/it.json")
    assert json.loads((folder / "here/it.json").read_bytes()) == ended.line
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("toml", "code", "message"),
    [
        ("[training]\nstep = 7\n", 2, "training.step: no such setting; there are "),
        ("[trainig]\nsteps = 7\n", 2, "trainig: no such section in toy.toml; there are store,"),
        ('[training]\nsteps = "7"\n', 2, "training.steps: must be a whole number, got '7'"),
        ("[training\n", 2, "toy.toml: is not TOML"),
        (None, 66, "toy.toml: no such file; --config takes a TOML file"),
    ],
)
def test_a_wrong_settings_file_is_refused_by_name(
    folder: Path, toml: str | None, code: int, message: str
) -> None:
    if toml is not None:
        (folder / "toy.toml").write_text(toml)
    ended = Ended(folder, "toy.py", "--then", "end", "--config", "toy.toml")
    assert ended.code == code
    assert ended.line["outcome"] == "failed"
    assert ended.line["error"].startswith(message)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--then", "end", "--training.stps", "7"), "--training.stps"),
        (("--then", "end", "--training.steps", "many"), "--training.steps"),
        (("--then", "end", "--training.precision", "fp8"), "--training.precision"),
        ((), "--then"),
        (("--then", "end", "--config"), "--config"),
    ],
)
def test_a_wrong_flag_ends_with_2_and_is_named(
    folder: Path, flags: tuple[str, ...], named: str
) -> None:
    ended = Ended(folder, "toy.py", *flags)
    assert (ended.code, ended.stdout) == (2, "")
    assert named in ended.stderr
    assert not (folder / "runs").exists()


def test_help_says_each_setting_in_its_own_sentence(folder: Path) -> None:
    ended = Ended(folder, "toy.py", "--help")
    assert ended.code == 0
    help_text = " ".join(ended.stdout.replace("│", " ").split())
    for words in (
        "A job that ends as its flag says.",
        "How it shall end.",
        "Optimizer steps of the VAE, where epochs is 0. (default: 20000)",
        "--config FILE",
        "Where the result is written",
    ):
        assert words in help_text


@pytest.mark.parametrize(
    ("then", "code", "kind"),
    [
        ("InputError", 2, "InputError"),
        ("RejectedError", 3, "RejectedError"),
        ("CollapsedError", 4, "CollapsedError"),
        ("DataError", 65, "DataError"),
        ("NotFoundError", 66, "NotFoundError"),
        ("CorruptError", 66, "CorruptError"),
        ("disk", 74, "OSError"),
        ("BusyError", 75, "BusyError"),
    ],
)
def test_an_expected_failure_has_its_code_and_no_traceback(
    folder: Path, then: str, code: int, kind: str
) -> None:
    ended = Ended(folder, "toy.py", "--then", then)
    assert (ended.code, ended.line["outcome"], ended.line["kind"]) == (code, "failed", kind)
    assert ended.line["error"] in ended.stderr
    assert "Traceback" not in ended.stderr
    assert json.loads((folder / "runs/toy/result.json").read_bytes()) == ended.line


@pytest.mark.parametrize("then", ["bug", "nan", "silent"])
def test_a_bug_ends_with_1_and_its_traceback_in_the_log(folder: Path, then: str) -> None:
    ended = Ended(folder, "toy.py", "--then", then)
    assert (ended.code, ended.line["outcome"]) == (1, "failed")
    assert "Traceback" in ended.stderr
    assert "Traceback" not in ended.stdout
    assert json.loads((folder / "runs/toy/result.json").read_bytes()) == ended.line


@pytest.mark.parametrize("then", ["end", "BusyError"])
def test_a_result_that_cannot_be_written_is_still_said(folder: Path, then: str) -> None:
    (folder / "runs").write_text("a file where a folder should be")
    ended = Ended(folder, "toy.py", "--then", then)
    assert ended.code == {"end": 74, "BusyError": 75}[then]
    assert ended.line["outcome"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_job_save_and_ends_with_75(folder: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "toy.py", "--then", "wait"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as job:
        try:
            while not (folder / "waiting").exists():
                assert job.poll() is None
            job.send_signal(number)
            stdout, _ = job.communicate(timeout=30)
        finally:
            job.kill()
    line = json.loads(stdout)
    assert (job.returncode, line["exit_code"], line["outcome"]) == (75, 75, "interrupted")
    assert (folder / "saved").exists()
    assert json.loads((folder / "runs/toy/result.json").read_bytes()) == line


def publish_seed(registry: Path, seed: int) -> Version:
    """A small version of the default model, different for each seed."""
    return publish(registry, "sentences", "20261123", {"weights": b"%d" % seed}, {"seed": seed})


def test_promote_and_rollback_change_what_serves_and_say_so(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    one, two = publish_seed(registry, 1), publish_seed(registry, 2)
    for version in (one, two):
        promoted = Ended(tmp_path, "-m", "jobs.promote", "--version", version.name)
        assert (promoted.code, promoted.line["outcome"]) == (0, "promoted")
        assert champion(registry, "sentences") == version
    again = Ended(tmp_path, "-m", "jobs.promote", "--version", two.name)
    assert (again.code, again.line["outcome"]) == (0, "up_to_date")
    back = Ended(tmp_path, "-m", "jobs.rollback", "--reason", "it repeats itself")
    assert (back.code, back.line["outcome"]) == (0, "rolled_back")
    assert champion(registry, "sentences") == one
    log = promotion_history(registry, "sentences")
    assert [promotion.version for promotion in log] == [one.name, two.name, one.name]
    assert log[2].reason == "rollback: it repeats itself"
    assert "@" in log[2].actor
    assert log[2].at.endswith("Z")
    further = Ended(tmp_path, "-m", "jobs.rollback")
    assert (further.code, further.line["kind"]) == (2, "InputError")


def test_a_version_that_the_gate_rejected_is_promoted_by_force_only(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    version = publish_seed(registry, 1)
    attach_decision(registry, version, 0, {"decision": "rejected"})
    command = ("-m", "jobs.promote", "--version", version.name, "--reason", "release")
    refused = Ended(tmp_path, *command)
    assert (refused.code, refused.line["kind"]) == (3, "RejectedError")
    assert promotion_history(registry, "sentences") == []
    forced = Ended(tmp_path, *command, "--force")
    assert (forced.code, forced.line["decision"]) == (0, "rejected")
    assert promotion_history(registry, "sentences")[0].reason == "release (gate: rejected, forced)"


def test_promoting_what_is_not_there_ends_with_66(tmp_path: Path) -> None:
    ended = Ended(tmp_path, "-m", "jobs.promote", "--version", "20261123-000000000000")
    assert (ended.code, ended.line["kind"]) == (66, "NotFoundError")
    assert "no version '20261123-000000000000'" in ended.line["error"]
