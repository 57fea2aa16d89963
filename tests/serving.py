"""Real servers for tests and drills, and the versions that they serve."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from textvae.store.promotions import current_promotion, promote, promotion_history
from textvae.store.versions import Version, open_version, publish
from textvae.v1 import textvae_pb2 as pb

MODEL = "toy"
AT = "2026-11-23T00:00:00Z"
STOP_S = 30
LONG = pb.SampleRequest(count=256, options=pb.Options(temperature=10, tokens_max=128))
"""A call that takes a while."""


class Server(NamedTuple):
    """A running server."""

    address: str
    version: str
    """The version it began with."""
    registry: Path
    process: subprocess.Popen[str]
    log: Path

    def log_text(self) -> str:
        """Return all that it has logged."""
        return self.log.read_text(encoding="utf-8")

    def stop(self) -> int:
        """SIGTERM, and the exit code once it has drained."""
        self.process.terminate()
        return self.process.wait(STOP_S)


@contextmanager
def serving(registry: Path, *flags: str) -> Iterator[Server]:
    """A server of the toy model at a free port, ready; stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w", encoding="utf-8") as stream:
            process = start(registry, *flags, log=stream)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            ready = re.fullmatch(rf"textvae serves (\S+) of {MODEL} at (\S+)\n", line)
            assert ready, f"{line!r} is no address; the log: {log.read_text(encoding='utf-8')}"
            yield Server(ready[2], ready[1], registry, process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def start(registry: Path, *flags: str, log: IO[str] | int) -> subprocess.Popen[str]:
    """A server's process, which may be about to fail."""
    where = ["--registry", str(registry), "--model", MODEL, "--port", "0", "--threads", "1"]
    return subprocess.Popen(
        [sys.executable, "-m", "textvae.serve", *where, *flags],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def copied(registry: Path, folder: Path) -> Path:
    """A registry of one's own to change."""
    return Path(shutil.copytree(registry, folder / "registry", symlinks=True))


def another_version(registry: Path, **files: bytes) -> Version:
    """A new version like the first champion, under another name or with other `files`.

    A file is given by its name without the suffix, as in `model=b"..."`.
    """
    first = open_version(registry, MODEL, promotion_history(registry, MODEL)[0].version)
    contents = {
        name: files.get(Path(name).stem, (first.folder / name).read_bytes())
        for name in first.manifest["files"]
    }
    facts = {name: fact for name, fact in first.manifest.items() if name not in ("format", "files")}
    facts["remark"] = f"the version after {first.name}"
    return publish(registry, MODEL, first.name[:8], contents, facts)


def put_in_service(registry: Path, version: Version) -> None:
    """Promotes a version over whatever serves."""
    before = current_promotion(registry, MODEL)
    number = before.number if before else 0
    promote(registry, MODEL, version, expected=number, reason="test", actor="test", at=AT)


def within(seconds: float, true: Callable[[], bool]) -> None:
    """Returns once `true()` is, and fails after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.01)
