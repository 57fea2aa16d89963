"""Calls of pytest in trees of their own, many at a time, each in a fork of this process.

What is slow to import is imported once, here, and none of the code that is tested.
"""

import importlib
import logging
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

SLOW_TO_IMPORT = (
    "torch numpy numpy.typing scipy.special scipy.stats sklearn.mixture safetensors.torch "
    "sentencepiece grpc grpc_status.rpc_status google.protobuf.message tyro rich.console filelock "
    "sacrebleu threadpoolctl pytest hypothesis hypothesis.strategies"
)
OURS = ("textvae", "jobs", "tests")
TURN_S = 0.02
RUNS = "TEXTVAE_TEST_RUNS"
"""Where tests find finished runs of the toy model; see tests/conftest.py."""

J = TypeVar("J")


class Asked(NamedTuple, Generic[J]):
    """Test files to be called."""

    job: J
    files: tuple[str, ...]
    limit_s: float


class Ended(NamedTuple, Generic[J]):
    """How they ended."""

    job: J
    code: int
    """pytest's: 0 where all passed; negative for a signal."""
    timed_out: bool
    seconds: float
    tree: Path
    said: str
    """The end of what pytest printed."""

    @property
    def failed_test(self) -> str:
        """The first test that failed, or what else is reported."""
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", self.said, re.MULTILINE)
        return found[1] if found else ""


class _Running(NamedTuple, Generic[J]):
    """One that has not ended."""

    asked: Asked[J]
    tree: Path
    began: float


def import_what_is_slow() -> None:
    """Import it, for one thread of arithmetic a process."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in SLOW_TO_IMPORT.split():
        importlib.import_module(name)


def call_all(
    all_asked: Iterable[Asked[J]],
    trees: Iterable[Path],
    options: Iterable[str],
    begin: Callable[[J, Path], None],
    end: Callable[[Ended[J]], None],
) -> None:
    """Call each in the next free tree; `begin` and `end` see each job and its tree."""
    waiting, free = deque(all_asked), list(trees)
    running: dict[int, _Running[J]] = {}
    try:
        while waiting or running:
            while waiting and free:
                asked, tree = waiting.popleft(), free.pop()
                begin(asked.job, tree)
                pid = _forked(tree, [*options, *asked.files])
                running[pid] = _Running(asked, tree, time.monotonic())
            for pid in list(running):
                ended = _ended(pid, running[pid])
                if ended:
                    free.append(running.pop(pid).tree)
                    end(ended)
            time.sleep(TURN_S)
    finally:
        for pid in running:
            _kill(pid)


def _ended(pid: int, running: _Running[J]) -> Ended[J] | None:
    """How it ended, if it did or has had its time; none of its processes then runs on."""
    asked, tree, began = running
    seconds = time.monotonic() - began
    done, status = os.waitpid(pid, os.WNOHANG)
    timed_out = not done and seconds > asked.limit_s
    if not done and not timed_out:
        return None
    _kill(pid)
    if not done:
        _, status = os.waitpid(pid, 0)
    said = _log(tree).read_text(encoding="utf-8", errors="replace")[-4000:]
    code = os.waitstatus_to_exitcode(status)
    return Ended(asked.job, code, timed_out, seconds, tree, said)


def _kill(pid: int) -> None:
    """End a process and those that it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _log(tree: Path) -> Path:
    """What pytest prints."""
    return tree.parent / "log"


def _forked(tree: Path, arguments: list[str]) -> int:
    """The id of a new process that calls pytest in the tree."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        _finish(tree)
        import pytest

        code = int(pytest.main(arguments))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _finish(tree: Path) -> None:
    """This process is one that was started in the tree and imports from it."""
    temporary = tree.parent / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    output = os.open(_log(tree), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    os.chdir(tree)
    here = str(Path(__file__).parents[2])
    # Other folders stay, for that is where packages may be.
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [part for part in others if part and os.path.abspath(part) != here]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(tree), *kept])
    os.environ["TMPDIR"] = str(temporary)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ[RUNS] = str(tree.parent / "runs")
    sys.path[:] = [str(tree), *(part for part in sys.path if part not in ("", here))]
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    importlib.invalidate_caches()
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    sys.argv = ["pytest"]
