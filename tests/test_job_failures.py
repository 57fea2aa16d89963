"""What stops a job, as processes: the exit code, and what the message names."""

from pathlib import Path

import pytest

from tests.job_runs import CONFIG, MODEL, prepared, ran, ran_job
from textvae.store.versions import list_versions

JOBS = (
    *("ingest", "train", "evaluate", "doctor", "promote", "rollback", "report", "nightly"),
    *("demo", "bench", "table", "explain", "export"),
)


@pytest.mark.parametrize("job", JOBS)
def test_help_of_every_job_ends_with_0_and_leaves_nothing(tmp_path: Path, job: str) -> None:
    ended = ran(tmp_path, f"jobs.{job}", "--help")
    assert ended.code == 0, ended.stderr
    assert f"usage: python -m jobs.{job}" in " ".join(ended.stdout.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("toml", "code", "named"),
    [
        ("[training]\nstep = 7\n", 2, "training.step: no such setting; there are "),
        ("[trainig]\nsteps = 7\n", 2, "trainig: no such section in toy.toml; there are "),
        ("[data]\nvalid_share = 0.9\n", 2, "data.valid_share: must be 0 to 0.5, got 0.9"),
        (None, 66, "toy.toml: no such file"),
    ],
)
def test_wrong_settings_stop_a_job_before_its_work(
    tmp_path: Path, toml: str | None, code: int, named: str
) -> None:
    if toml is not None:
        (tmp_path / "toy.toml").write_text(toml)
    ended = ran(tmp_path, "jobs.ingest", "--config", "toy.toml", "--data.inputs", "inbox")
    assert (ended.code, ended.line["outcome"]) == (code, "failed")
    assert ended.line["error"].startswith(named)
    assert not (tmp_path / "spans").exists()


@pytest.mark.parametrize(
    ("name", "content", "flags", "code", "problem"),
    [
        ("missing.txt", None, (), 66, "no such file"),
        ("empty.txt", b"", (), 65, "the file is empty"),
        ("nul.txt", b"a line\nbin\0ary\n", (), 65, "line 2 holds a NUL byte"),
        ("latin.txt", "caf\u00e9\n".encode("latin-1"), (), 65, "byte 0xe9 is not UTF-8"),
        ("one.txt", b"one sentence alone\n", (), 65, "1 sentence is no corpus; at least "),
        (
            "columns.csv",
            b"text,kind\nthe dog runs,a\nthe cat sleeps,b\n",
            ("--data.label-column", "tone"),
            65,
            "has no column 'tone'; set data.label_column to one of kind, text",
        ),
        (
            "keys.jsonl",
            b'{"text": "the dog runs"}\n{"text": "the cat sleeps"}\n',
            ("--data.label-column", "tone"),
            65,
            "has no column 'tone'",
        ),
    ],
)
def test_text_that_breaks_the_contract_is_refused_by_its_path(
    tmp_path: Path,
    name: str,
    content: bytes | None,
    flags: tuple[str, ...],
    code: int,
    problem: str,
) -> None:
    folder = prepared(tmp_path / "jobs")
    path = folder / name
    if content is not None:
        path.write_bytes(content)
    ended = ran_job(folder, "ingest", "--data.inputs", str(path), *flags)
    assert (ended.code, ended.line["outcome"]) == (code, "failed")
    assert str(path) in ended.line["error"]
    assert problem in ended.line["error"]
    assert list((folder / "spans").glob("0*")) == []


def test_training_without_text_ends_with_66_and_says_what_ingests(tmp_path: Path) -> None:
    ended = ran_job(prepared(tmp_path / "jobs"), "train")
    assert (ended.code, ended.line["kind"]) == (66, "NotFoundError")
    assert "python -m jobs.ingest" in ended.line["error"]


def test_evaluating_an_empty_registry_ends_with_66_and_says_what_trains(tmp_path: Path) -> None:
    ended = ran_job(prepared(tmp_path / "jobs"), "evaluate")
    assert (ended.code, ended.line["kind"]) == (66, "NotFoundError")
    assert "registry: no version of toy; python -m jobs.train" in ended.line["error"]


def test_serving_a_registry_without_a_champion_ends_with_66(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    (registry / MODEL / "versions").mkdir(parents=True)
    flags = ("--registry", str(registry), "--model", MODEL, "--port", "0")
    ended = ran(tmp_path, "textvae.cli", "serve", *flags)
    assert (ended.code, ended.stdout) == (66, "")
    assert "textvae serve: " in ended.stderr
    assert MODEL in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_collapsed_run_ends_with_4_and_publishes_nothing(tmp_path: Path) -> None:
    """A KL weight of 1 from the first step, and words enough to do without a latent."""
    doomed = CONFIG.replace("kl_steps = 10", "kl_steps = 0\nkl_start = 1.0\nword_dropout = 0.0")
    doomed = doomed.replace("collapse_stops = false", "collapse_stops = true")
    doomed = doomed.replace("latent = 4", "latent = 4\nbatchnorm_scale = 0.0")
    folder = prepared(tmp_path / "jobs", doomed)
    assert ran_job(folder, "ingest").code == 0
    ended = ran_job(folder, "train")
    assert (ended.code, ended.line["kind"]) == (4, "CollapsedError")
    assert ended.line["outcome"] == "failed"
    assert "the posterior has collapsed" in ended.line["error"]
    assert "set training." in ended.line["error"]
    assert list_versions(folder / "registry", MODEL) == []
