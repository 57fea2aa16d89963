"""A reader that goes away, as `head -1` does, ends no command and costs no work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_command import JOB, ROOT

COMMANDS = ["jobs.train", "jobs.promote", "jobs.bench", "textvae.serve", "textvae.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def read_one_byte(folder: Path, *words: str, merged: bool = False) -> tuple[int, str]:
    """Exit code and stderr of a Python process whose stdout, with `merged` its stderr too, is a
    pipe that closes after a byte."""
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert len(process.stdout.read(1)) == 1
        process.stdout.close()
        stderr = process.stderr.read().decode() if process.stderr else ""
        return process.wait(60), stderr


@pytest.mark.parametrize("module", COMMANDS)
def test_help_into_head_says_nothing_on_stderr(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m {module} --help | head -1",
        shell=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.parametrize("module", COMMANDS)
def test_help_into_a_pipe_without_a_reader_ends_with_0(module: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("then", "code"), [("end", 0), ("BusyError", 75)])
def test_a_job_whose_output_nobody_reads_does_its_work(
    tmp_path: Path, then: str, code: int
) -> None:
    """Stdout and stderr are one pipe, which is closed before the job has begun its work."""
    slow = JOB.replace('    print("a table for people")', '    print("a table " * 100_000)')
    (tmp_path / "toy.py").write_text(slow)
    assert read_one_byte(tmp_path, "toy.py", "--then", then, merged=True)[0] == code
    result = json.loads((tmp_path / "runs/toy/result.json").read_bytes())
    assert result["exit_code"] == code


def test_a_job_whose_line_nobody_reads_has_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(JOB)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "toy.py", "--then", "end"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert done.returncode == 0
    assert "BrokenPipe" not in done.stderr
    assert json.loads((tmp_path / "runs/toy/result.json").read_bytes())["outcome"] == "done"


def test_what_is_read_arrives_at_once_and_in_full(tmp_path: Path) -> None:
    """Also without a buffer, as in a container, where a line is read before the next is made."""
    script = (
        "import sys; from textvae.pipes import ignore_closed_pipes; ignore_closed_pipes();"
        "print('first'); sys.stdin.read(); print('x' * 1_000_000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        process.stdin.close()
        assert len(process.stdout.read()) == 1_000_001
        assert process.wait(60) == 0
