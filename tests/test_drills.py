"""Drills and benchmarks, quick, as the processes that they are: how each ends."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def last_line(*command: str) -> tuple[int, dict[str, Any], str]:
    """A module's exit code, its last line of stdout as JSON, and its log."""
    done = subprocess.run(
        [sys.executable, "-m", *command, "--quick"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout, done.stderr[-2000:]
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, line, done.stderr[-2000:]


def assert_well_formed(line: dict[str, Any], name: str) -> None:
    """The name, numbers found, and a number to reach for some of them."""
    assert line["name"] == name
    assert isinstance(line["held"], bool)
    numbers = [*line["figures"].values(), *line["targets"].values()]
    assert all(isinstance(number, int | float) for number in numbers)
    assert line["targets"]
    assert set(line["targets"]) <= set(line["figures"])


DRILLS = (
    "augmentation",
    "bulk",
    "drains",
    "fuzz",
    "gate",
    "hostile",
    "kill",
    "locks",
    "mutants",
    "newcomer",
    "nightly",
    "overhead",
    "promotions",
    "proxies",
    "replay",
    "resume",
    "rollbacks",
    "soak",
    "scale",
    "table",
    "watchdog",
    "year",
)


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_holds_and_ends_with_its_line(name: str) -> None:
    code, line, log = last_line(f"tests.drills.{name}")
    assert set(line) == {"name", "figures", "targets", "held"}
    assert_well_formed(line, name)
    assert line["held"], (line, log)
    assert code == 0


BENCHMARKS = ("train", "encode", "decode", "slots", "cancels", "bulk", "fairness", "overload")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_ends_with_its_line_and_its_code_says_whether_it_held(name: str) -> None:
    """Whether it held is not asked here: a busy machine decides no test."""
    code, line, _ = last_line("jobs.bench", name)
    assert_well_formed(line, name)
    assert code == (0 if line["held"] else 1)
