"""Nightly runs as forks of one warm process, each with a disk and a clock of its own.

A fork has torch in memory already and has made no thread yet, so it begins at once.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.backends.backend_svg
import matplotlib.figure
import sacrebleu
import scipy.stats
import sklearn.mixture
import torch._dynamo

from jobs import evaluate, ingest, nightly, promote, prune, report, train
from textvae import files
from textvae.reporting import plots

log = logging.getLogger(__name__)

Case = TypeVar("Case")

WARM = (
    *(evaluate, ingest, plots, promote, prune, report, train),
    *(matplotlib, sacrebleu, scipy, sklearn, torch),
)
"""The imports of the stages of a nightly run, and of torch's optimizers."""
CALLS = ("rename", "replace", "link", "symlink")

Reach = Callable[[int], None]
"""Called with a number, 1 for the first, at each call of files.py that changes the disk; what it
raises is what the disk says to this call."""


def nothing(_: int) -> None:
    """A disk that takes everything."""


class Disk:
    """The module `os` as files.py sees it, and its two ways to write."""

    def __init__(self, reach: Reach) -> None:
        self._calls, self._reach = 0, reach
        self._write_through, self._append_line = files._write_through, files.append_line

    def mount(self) -> None:
        """From now on every call of files.py in this process goes through here."""
        files.os = self  # type: ignore[assignment]
        files._write_through, files.append_line = self.write, self.append

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self.reached()
            return real(*arguments, **options)

        return call

    def fsync(self, descriptor: int) -> None:
        """Flush, and set the modification time by the clock of the nightly run."""
        self.reached()
        os.utime(descriptor, (time.time(), time.time()))
        os.fsync(descriptor)

    def write(self, stream: Any, data: bytes = b"") -> None:
        """Write so that half of the file is there when the call is reached."""
        stream.write(data)
        stream.flush()
        with open(stream.name, "rb") as reader:
            content = reader.read()
        half = len(content) // 2
        os.ftruncate(stream.fileno(), half)
        self.reached()
        os.pwrite(stream.fileno(), content[half:], half)
        self._write_through(stream)

    def append(self, path: Path, text: str) -> None:
        """Append so that half of the line is there when the call is reached."""
        files.make_folder(path.parent)
        with open(path, "ab") as stream:
            size = stream.tell()
            stream.write(text.encode()[: len(text) // 2])
            stream.flush()
            self.reached()
            stream.truncate(size)
        self._append_line(path, text)

    def reached(self) -> None:
        """Count a call and report it."""
        self._calls += 1
        self._reach(self._calls)


def started(folder: Path, reach: Reach = nothing, ahead_s: float = 0.0) -> int:
    """Start a nightly run in `folder`, with its clock ahead by so many seconds; return its process.

    It leaves its exit code there, unless it is killed, and so does each fork that `reach` makes.
    """
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.chdir(folder)
        with open("log", "a") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        if ahead_s:
            real = time.time
            time.time = lambda: real() + ahead_s
        Disk(reach).mount()
        try:
            nightly.run(["--config", "toy.toml"])
        except SystemExit as end:
            code = int(end.code or 0)
        Path("code").write_text(str(code))
    finally:
        with contextlib.suppress(ChildProcessError):
            while os.wait():  # `reach` may have forked
                pass
        os._exit(code)


def ended(process: int) -> int:
    """Wait for a nightly run; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def outlives(process: int, seconds: float) -> bool:
    """Whether the process runs for so long; it is not waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.002)
    return True


def killed(process: int, number: signal.Signals) -> int:
    """Send a signal to a nightly run; return its exit code."""
    os.kill(process, number)
    return ended(process)


def pooled(
    cases: Iterable[Case], work: Callable[[Case], bool], workers: int
) -> Iterator[tuple[Case, bool]]:
    """Does the work on each case in a fork, so many at a time; says of each as it ends whether it
    held."""
    running: dict[int, Case] = {}

    def one_ended() -> tuple[Case, bool]:
        process, status = os.wait()
        return running.pop(process), os.waitstatus_to_exitcode(status) == 0

    for case in cases:
        if len(running) == workers:
            yield one_ended()
        if not (process := os.fork()):
            held = False
            try:
                held = work(case)
            except BaseException:
                log.exception("%s", case)
            finally:
                os._exit(0 if held else 1)
        running[process] = case
    while running:
        yield one_ended()
