"""The hook of the nightly run: ended with all that it has started."""

import _thread
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from jobs.hook import run_hook
from textvae.config.nightly import NightlyConfig

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("child.txt", "w").write(str(child.pid))
time.sleep({seconds})
"""


def is_alive(process: int) -> bool:
    """Whether a process runs; one that waits for its parent's notice does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow.py").write_text(PARENT.format(seconds=60))
    return tmp_path


def child_of(folder: Path) -> int:
    """The number of the process that the hook has started."""
    return int((folder / "child.txt").read_text())


def ended(process: int) -> bool:
    """Whether the process ends within a few seconds."""
    end = time.monotonic() + 5
    while is_alive(process) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(process)


@pytest.mark.parametrize("shell", [False, True])
def test_a_hook_past_its_limit_ends_with_its_children(folder: Path, shell: bool) -> None:
    hook = f"{sys.executable} slow.py"
    hook = f"sh -c '{hook}; true'" if shell else hook
    config = NightlyConfig(hook=hook, hook_timeout_s=2.0)
    assert run_hook(config, {"outcome": "promoted"}) == "took more than 2 s and was killed"
    assert ended(child_of(folder))


def test_a_hook_of_a_run_that_is_told_to_end_is_killed_and_named(folder: Path) -> None:
    def interrupt() -> None:
        while not (folder / "child.txt").exists() or not (folder / "child.txt").read_text():
            time.sleep(0.01)
        _thread.interrupt_main()

    # A process that tests beside others ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    config = NightlyConfig(hook=f"{sys.executable} slow.py", hook_timeout_s=30)
    try:
        assert run_hook(config, {}) == "was killed, for this run was told to end"
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    assert ended(child_of(folder))


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ("", ""),
        ("  ", ""),
        ("true", ""),
        ("false", "ended with exit code 1"),
        ("sh -c 'kill -9 $$'", "ended with exit code -9"),
        ("no-such-program", "could not be started: [Errno 2] No such file or directory"),
        ("/dev/null", "could not be started: [Errno 13] Permission denied"),
    ],
)
def test_what_a_hook_does_wrong_is_a_sentence(hook: str, problem: str) -> None:
    assert run_hook(NightlyConfig(hook=hook), {"a": "b" * 200_000}).startswith(problem)
    assert bool(run_hook(NightlyConfig(hook=hook), {})) == bool(problem)


def test_a_hook_that_leaves_a_service_behind_is_let_be(folder: Path) -> None:
    (folder / "slow.py").write_text(PARENT.format(seconds=0))
    assert run_hook(NightlyConfig(hook=f"{sys.executable} slow.py"), {}) == ""
    child = child_of(folder)
    assert is_alive(child)
    os.kill(child, 9)
