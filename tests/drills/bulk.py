"""`python -m tests.drills.bulk`: bulk jobs that are killed or find the disk full, at any write.

An encode and a generate are cut off at calls of files.py that change the disk: killed with half a
write, and with an error of the disk. Then both are killed at random moments until they end, and as
a process with two workers too, and interrupted by SIGTERM. Each time the next start must end with
the bytes of an undisturbed run.
"""

import errno
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jobs import encode, generate
from jobs.command import run_job
from tests.bulk_jobs import contents, utterances
from tests.drills.forks import Disk, ended, killed, outlives
from tests.drills.line import Flag, Found, run_drill
from tests.job_runs import CONFIG, MODEL, ROOT, prepared, ran_job

log = logging.getLogger(__name__)

ENCODE = ("encode", encode.Encode, encode.main)
GENERATE = ("generate", generate.Generate, generate.main)
KINDS = ("killed", "full")
DISK, AGAIN = 74, 75
KILLS_MAX = 5
"""No job is killed more often."""


class Case(NamedTuple):
    """A job and the output that it must come to."""

    job: str
    wanted: dict[str, bytes]
    seconds: float
    calls: int


class Drill:
    """Jobs on one input, by one version."""

    def __init__(self, folder: Path, rows: int) -> None:
        """`rows` are encoded, and a tenth of them is paraphrased, at least 20."""
        self.folder = prepared(folder, CONFIG)
        ran_job(folder, "ingest")
        ran_job(folder, "train")
        self.rows = (rows, max(20, rows // 10))
        for name, rows in zip(("encode", "generate"), self.rows, strict=True):
            utterances(folder / f"{name}.csv", rows)

    def flags(self, job: str, output: Path, workers: int = 1) -> tuple[str, ...]:
        """The command line of a job."""
        own: tuple[str, ...]
        rows = str(max(1, dict(zip(("encode", "generate"), self.rows, strict=True))[job] // 4))
        own = ("--format", "jsonl")
        if job == "generate":
            # The version has learned little: its sentences have no end, and none is judged.
            own = ("--format", "csv", "--count", "2", "--spare", "1", "--candidates", "1")
        data = ("--input", f"{job}.csv", "--output", str(output), *own)
        store = ("--store.model", MODEL, "--serve.tokens-max", "24", "--bulk.shard-rows", rows)
        return (*data, *store, "--bulk.workers", str(workers))

    def started(self, job: str, output: Path, reach: Callable[[int], None]) -> int:
        """A fork that runs the job, with a disk of its own."""
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.chdir(self.folder)
            with open("log", "a") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            Disk(reach).mount()
            name, kind, main = ENCODE if job == "encode" else GENERATE
            try:
                run_job(name, kind, main, self.flags(job, output))  # type: ignore[arg-type]
            except SystemExit as end:
                code = int(end.code or 0)
        finally:
            os._exit(code)

    def undisturbed(self, job: str) -> Case:
        """A job that nothing happens to."""
        output, counter = self.folder / f"{job}-alone", self.folder / "calls"

        def count(number: int) -> None:
            counter.write_text(str(number))

        began_s = time.monotonic()
        assert ended(self.started(job, output, count)) == 0, (self.folder / "log").read_text()
        seconds = time.monotonic() - began_s
        wanted = contents(output)
        return Case(job, wanted, seconds, int(counter.read_text()))

    def recovers(self, case: Case, output: Path) -> bool:
        """Whether the next start ends with the bytes of the undisturbed one."""
        code = ended(self.started(case.job, output, lambda _: None))
        held = code == 0 and contents(output) == case.wanted
        if held:
            shutil.rmtree(output)
        else:
            log.error("%s: ended with %d", output, code)
        return held

    def cut_off(self, case: Case, call: int, kind: str) -> bool:
        """A job that is cut off at a call, and the next start."""
        output = self.folder / f"{case.job}-{call}-{kind}"

        def reach(number: int) -> None:
            if number != call:
                return
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        code = ended(self.started(case.job, output, reach))
        if code not in (-signal.SIGKILL, DISK, 0):  # 0: only the lease of the version failed
            log.error("%s: the disk's error ended it with %d", output, code)
            return False
        return self.recovers(case, output)

    def killed_at_random(self, case: Case, chance: random.Random) -> tuple[int, bool]:
        """How often a job was killed until it ended, and whether it ended as it should."""
        output = self.folder / f"{case.job}-random-{chance.random()}"
        kills = 0
        while kills < KILLS_MAX:
            process = self.started(case.job, output, lambda _: None)
            if not outlives(process, chance.uniform(0.0, case.seconds)):
                ended(process)
                break
            killed(process, signal.SIGKILL)
            kills += 1
        return kills, self.recovers(case, output)

    def ended_by(self, case: Case, number: signal.Signals, chance: random.Random) -> bool:
        """Whether a process with two workers leaves no worker behind, says 75 for SIGTERM, and the
        next start ends as it should."""
        output = self.folder / f"{case.job}-process-{number}-{chance.random()}"
        flags = self.flags(case.job, output, workers=2)
        command = [sys.executable, "-m", f"jobs.{case.job}", *flags]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        with open(self.folder / "log", "a") as stream:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
            limit_s = time.monotonic() + 60
            while not list(output.glob(".part-*")) and time.monotonic() < limit_s:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.2))
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
        held = process.returncode in (-number, AGAIN, 0)
        if said and process.returncode == AGAIN:
            held = held and json.loads(said.splitlines()[-1])["outcome"] == "interrupted"
        if number == signal.SIGTERM:
            held = held and process.returncode != -number
        return self.recovers(case, output) and held


def drill(quick: bool, rows: int) -> Found:
    """All calls, or a few; then kills at random."""
    every, kills_wanted, processes = (9, 2, 1) if quick else (1, 100, 10)
    chance, points, held_points, kills, wrong = random.Random(0), 0, 0, 0, 0
    interrupted = held_interrupted = 0
    with tempfile.TemporaryDirectory() as temporary:
        work = Drill(Path(temporary).resolve() / "bulk", 40 if quick else rows)
        cases = [work.undisturbed(job) for job in ("encode", "generate")]
        for case in cases:
            log.info("%s: %d calls, %.1f s", case.job, case.calls, case.seconds)
            for call in range(1, case.calls + 1, every):
                for kind in KINDS:
                    points += 1
                    held_points += work.cut_off(case, call, kind)
        while kills < kills_wanted:
            for case in cases:
                more, held = work.killed_at_random(case, chance)
                kills, wrong = kills + more, wrong + (not held)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for turn in range(processes):
                interrupted += 1
                held_interrupted += work.ended_by(cases[turn % 2], number, chance)
    figures = {
        "points": points,
        "recovered": held_points,
        "kills": kills,
        "wrong": wrong,
        "interrupted": interrupted,
        "went_on": held_interrupted,
    }
    targets = {"recovered": points, "kills": kills_wanted, "wrong": 0, "went_on": interrupted}
    held = held_points == points and not wrong and held_interrupted == interrupted
    return Found(figures, targets, held)


if __name__ == "__main__":
    run_drill("bulk", drill, Flag("rows", 2000, "rows of the encode; the generate has a tenth"))
