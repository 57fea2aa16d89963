"""`python -m tests.drills.kill`: a night that dies or is refused by the disk, wherever it writes.

Every write, fsync, rename and link of files.py in a whole night is a point. At each the folder is
copied as a kill would leave it, half a write included, and the night is forked twice into copies in
which the disk is full or broken at this call. In every copy the next start must end with the
version, the promotions and the text of the night that was left alone. Then nights are killed at
random moments until they end.
"""

import errno
import logging
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs import evaluate, ingest, nightly, promote, train
from tests.drills.line import Found, run_drill
from tests.job_runs import MODEL, NIGHT_CONFIG, prepared
from textvae import files
from textvae.store.promotions import history
from textvae.store.versions import list_versions
from textvae.text.spans import list_spans

log = logging.getLogger(__name__)

WARM = (evaluate, ingest, promote, train)
"""Imported here, so that each night is a fork that begins at once."""
CALLS = ("rename", "replace", "link", "symlink", "fsync")
ERRORS = {"full": errno.ENOSPC, "broken": errno.EIO}
EXIT_CODES = (0, 74, 75)
"""What a night may end with that the disk refused once."""


class Disk:
    """The module `os` as files.py sees it. Each call first does what is to be done at a point."""

    def __init__(self, every: int) -> None:
        """Each `every`th call is a point; 0: none is."""
        self.every, self.calls, self.error = every, 0, 0
        self.write_through = files._write_through

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self.reach()
            return real(*arguments, **options)

        return call

    def write(self, stream: Any, data: bytes = b"") -> None:
        """Half of the bytes are there when the point is reached."""
        half = len(data) // 2
        stream.write(data[:half])
        stream.flush()
        self.reach()
        self.write_through(stream, data[half:])

    def reach(self) -> None:
        """One more call: copies of the folder, and forks that go on in two of them."""
        self.calls += 1
        if not self.every or self.calls % self.every:
            return
        here = Path.cwd()
        for kind in ("killed", *ERRORS):
            shutil.copytree(here, copy_of(here, kind, self.calls), symlinks=True)
        for kind, number in ERRORS.items():
            copy = copy_of(here, kind, self.calls)
            process = os.fork()
            if not process:
                self.every = 0
                os.chdir(copy)
                raise OSError(number, os.strerror(number))
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            (copy / "code").write_text(str(code))


def copy_of(folder: Path, kind: str, number: int) -> Path:
    """Where a copy of the night's folder lies."""
    return folder.parent / f"{kind}-{number}"


def started(folder: Path, every: int = 0) -> int:
    """The process of a night in `folder`, forked from this one."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.chdir(folder)
        with open("log", "a") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        disk = Disk(every)
        files.os, files._write_through = disk, disk.write  # type: ignore[assignment]
        try:
            nightly.run(["--config", "toy.toml"])
        except SystemExit as ended:
            code = int(ended.code or 0)
        Path("calls").write_text(str(disk.calls))
    finally:
        os._exit(code)


def ended(process: int) -> int:
    """The exit code of a night, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def state(folder: Path) -> dict[str, Any]:
    """All that a night is to leave, without the day in the names."""
    promotions = history(folder / "registry", MODEL)
    return {
        "versions": [name.split("-")[1] for name in list_versions(folder / "registry", MODEL)],
        "promotions": [(one.number, one.version.split("-")[1]) for one in promotions],
        "spans": list_spans(folder / "spans"),
    }


def recovers(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether the night ended as it may where the disk refused it, and the next start as it
    should."""
    code = int((folder / "code").read_text()) if (folder / "code").exists() else 0
    again = ended(started(folder))
    held = code in EXIT_CODES and again == 0 and state(folder) == wanted
    if not held:
        log.error("%s: exit codes %d and %d, %s", folder.name, code, again, state(folder))
    return held


def killed_at_random(
    folder: Path, kills: int, chance: random.Random, until_max_s: float, wanted: dict[str, Any]
) -> int:
    """Kills nights at random moments, so many in all; returns how many nights ended wrong."""
    wrong = done = number = 0
    while done < kills:
        number += 1
        place = prepared(folder / str(number), NIGHT_CONFIG)
        while True:
            process = started(place)
            if done >= kills or not outlives(process, chance.uniform(0.0, until_max_s)):
                break
            os.kill(process, signal.SIGKILL)
            ended(process)
            done += 1
        # `outlives` leaves a night that has ended to be waited for here.
        wrong += ended(process) != 0 or state(place) != wanted
    return wrong


def outlives(process: int, seconds: float) -> bool:
    """Whether the process runs for so long; it is not waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.002)
    return True


def timed(work: Callable[[], int]) -> float:
    """Seconds of a night that must end well."""
    began = time.monotonic()
    assert work() == 0
    return time.monotonic() - began


def drill(quick: bool) -> Found:
    """All points, or a few; then kills at random."""
    every, kills = (60, 3) if quick else (1, 200)
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        alone = prepared(top / "alone" / "night", NIGHT_CONFIG)
        took_s = timed(lambda: ended(started(alone)))
        wanted = state(alone)
        night = prepared(top / "points" / "night", NIGHT_CONFIG)
        assert ended(started(night, every)) == 0, (night / "log").read_text()
        assert state(night) == wanted, "copying changed the night"
        copies = sorted(path for path in night.parent.iterdir() if path != night)
        held = 0
        for number, copy in enumerate(copies, 1):
            held += recovers(copy, wanted)
            shutil.rmtree(copy)
            if number % 20 == 0:
                log.info("%d of %d points, %d recovered", number, len(copies), held)
        wrong = killed_at_random(top / "random", kills, random.Random(0), took_s, wanted)
    figures = {"points": len(copies), "recovered": held, "kills": kills, "nights_wrong": wrong}
    targets = {"recovered": len(copies), "nights_wrong": 0}
    return Found(figures, targets, 0 < len(copies) == held and not wrong)


if __name__ == "__main__":
    run_drill("kill", drill)
