"""`python -m tests.drills.kill`: a nightly run that is killed or gets a disk error, at any write.

Two nightly runs: the first of a registry, and one that goes on from a champion and prunes. Every
write, fsync, rename and link of files.py in them is a point. At each the folder is copied as a kill
would leave it, half a write included, and the run is forked twice into copies in which the disk is
full or broken at this call. In every copy the next start must end with the version, the promotions
and the text of the undisturbed run; of copies that are the same to the byte one is started. Then
nightly runs are killed at random moments until they end.

With `--folder FOLDER` all that is done stays there, and the same command goes on with the rest.
"""

import errno
import hashlib
import json
import logging
import os
import random
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.drills.forks import ended, killed, outlives, pooled, started
from tests.drills.line import Flag, Found, run_drill
from tests.job_runs import MODEL, NIGHTLY_CONFIG, prepared
from textvae import files
from textvae.corpus.spans import list_spans
from textvae.corpus.toy_grammar import sample
from textvae.store.promotions import promotion_history
from textvae.store.versions import list_versions, publish

log = logging.getLogger(__name__)

ERRORS = {"full": errno.ENOSPC, "broken": errno.EIO}
EXIT_CODES = (0, 74, 75)
"""Exit codes that a nightly run may have after a disk error."""
KILLED = "killed"
HIDDEN = re.compile(rb"[0-9a-f]{32}(?=\.unfinished)")
TIMES = re.compile(rb'"seconds": \{[^}]*\}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ')
UNREAD = ("log", "code", "result.json")
NIGHTLY_RUNS = ("first", "later")
FIRST_CONFIG = (
    NIGHTLY_CONFIG.replace("hidden = 24", "hidden = 32")
    .replace("steps = 120", "steps = 80", 1)
    .replace("learning_rate = 1.5e-2", "learning_rate = 2e-2")
)
LATER_CONFIG = (
    FIRST_CONFIG.replace('start = "fresh"', 'start = "champion"\nwarm_steps = 10').replace(
        "target_kl_nats = 0.0", "target_kl_nats = 10.0"
    )
    + "[prune]\nversions_kept = 1\ngrace_days = 0.0\nruns_days = 0.0\n"
)
NIGHTLY_RUN_S_MAX = 4.0
"""A random kill comes within so many seconds of a start."""
KILLS_MAX = 5
"""No nightly run is killed more often."""


class Case(NamedTuple):
    """A folder with an interrupted nightly run."""

    folder: Path
    nightly_run: str
    """Whose undisturbed end it must come to."""
    twins: tuple[Path, ...] = ()
    """Folders that are the same to the byte, and would end the same."""
    seed: int = -1
    """At random moments, by this seed; else it was cut off already, and starts once more."""


class Points:
    """Copies of a run's folder at its calls, and forks that go on in two of them."""

    def __init__(self, every: int, workers: int) -> None:
        """Each `every`th call is a point, and so many forks run at a time."""
        self.every, self.workers = every, workers
        self.running = 0

    def __call__(self, number: int) -> None:
        """Handle the call of this number."""
        if not self.every or number % self.every:
            return
        here = Path.cwd()
        copies = {kind: here.parent / f"{number}-{kind}" for kind in (KILLED, *ERRORS)}
        for copy in copies.values():
            shutil.copytree(here, copy, symlinks=True)
        for kind, error in ERRORS.items():
            if self.running == self.workers:
                os.wait()
                self.running -= 1
            self._fork(copies[kind], error)

    def _fork(self, copy: Path, error: int) -> None:
        """A process goes on in the copy, where this call fails."""
        scratch = Path(tempfile.gettempdir())
        kept = scratch.with_name(scratch.name + "-kept")
        if shared := any(scratch.iterdir()):
            # It is drawing there, and so would the fork, which is waited for and gone over.
            shutil.copytree(scratch, kept)
        process = os.fork()
        if not process:
            self.every = 0
            tempfile.tempdir = str(scratch.with_name(copy.name))
            os.mkdir(tempfile.tempdir)
            os.chdir(copy)
            raise OSError(error, os.strerror(error))
        if shared:
            os.waitpid(process, 0)
            shutil.rmtree(scratch)
            kept.rename(scratch)
        else:
            self.running += 1


def state(folder: Path) -> dict[str, Any]:
    """Return all that a nightly run should leave, without the day in the names."""
    promotions = promotion_history(folder / "registry", MODEL)
    return {
        "versions": [name.split("-")[1] for name in list_versions(folder / "registry", MODEL)],
        "promotions": [[one.number, one.version.split("-")[1]] for one in promotions],
        "spans": list_spans(folder / "spans"),
    }


def recovers(case: Case, wanted: dict[str, Any]) -> bool:
    """Return whether each run with a disk error, and the next start, ended as they should."""
    folder = case.folder
    if case.seed >= 0:
        kills = kills_until_it_ends(folder, random.Random(case.seed))
        (folder / "kills").write_text(str(kills))
    refused = [one for one in (folder, *case.twins) if one.name.endswith(tuple(ERRORS))]
    codes = {one.name: int((one / "code").read_text()) for one in refused}
    again = ended(started(folder))
    held = set(codes.values()) <= set(EXIT_CODES) and again == 0 and state(folder) == wanted
    if not held:
        log.error("%s: exit codes %s and %d, %s", folder, codes, again, state(folder))
    return held


def fingerprint(folder: Path) -> str:
    """Of every file that the next start could read; random names and times of day are left out."""
    lines = []
    for path in sorted(folder.rglob("*")):
        name = HIDDEN.sub(b"hidden", str(path.relative_to(folder)).encode())
        if path.is_symlink():
            lines.append(name + b" -> " + os.readlink(path).encode())
        elif path.is_dir():
            lines.append(name)
        elif path.name not in UNREAD:
            content = TIMES.sub(b"then", HIDDEN.sub(b"hidden", path.read_bytes()))
            lines.append(name + b" " + hashlib.sha256(content).hexdigest().encode())
    return hashlib.sha256(b"\n".join(sorted(lines))).hexdigest()


def kills_until_it_ends(folder: Path, chance: random.Random) -> int:
    """Start the run and kill it at a random moment, until one start ends before that."""
    for kills in range(KILLS_MAX):
        process = started(folder)
        if not outlives(process, chance.uniform(0.0, NIGHTLY_RUN_S_MAX)):
            # `outlives` leaves a run that has ended to be waited for here.
            ended(process)
            return kills
        killed(process, signal.SIGKILL)
    return KILLS_MAX


def make(top: Path, every: int, workers: int) -> None:
    """Make the undisturbed runs, and all copies of both at their points."""
    base = prepared(top / "first" / "base", FIRST_CONFIG)
    for nightly_run in NIGHTLY_RUNS:
        parent = top / nightly_run
        if nightly_run == "later":
            shutil.copytree(top / "first" / "alone", base := parent / "base", symlinks=True)
            (base / "toy.toml").write_text(LATER_CONFIG)
            texts = [row.text for row in sample(900, seed=7)]
            (base / "inbox" / "more.txt").write_text("\n".join(texts) + "\n")
            publish(base / "registry", MODEL, "20200101", {"unneeded": b""}, {"spans": {}})
        alone = shutil.copytree(base, parent / "alone", symlinks=True)
        assert ended(started(alone)) == 0, (alone / "log").read_text()
        ends = state(alone)
        assert len(ends["promotions"]) == len(ends["versions"])
        assert len(ends["versions"]) == NIGHTLY_RUNS.index(nightly_run) + 1, ends
        watched = shutil.copytree(base, parent / "points" / "nightly", symlinks=True)
        tempfile.tempdir = str(parent / "scratch" / "nightly")
        files.make_folder(Path(tempfile.tempdir))
        assert ended(started(watched, Points(every, workers))) == 0, (watched / "log").read_text()
        tempfile.tempdir = None
        shutil.rmtree(parent / "scratch")
        assert state(watched) == state(alone), "copying changed the run"
        shutil.rmtree(watched)
        log.info("%s nightly run: %d copies", nightly_run, len(list((parent / "points").iterdir())))
    files.write_text(top / "made", "all copies of all nightly runs")


def cases(top: Path, kills: int) -> Iterator[Case]:
    """Yield all remaining copies, and runs to kill until there were so many kills."""
    taken = {result["case"] for result in results(top)}
    for nightly_run in NIGHTLY_RUNS:
        same: dict[str, list[Path]] = {}
        for copy in sorted((top / nightly_run / "points").iterdir()):
            if str(copy.relative_to(top)) not in taken:
                same.setdefault(fingerprint(copy), []).append(copy)
        log.info(
            "%s nightly run: %d copies left, %d differ",
            nightly_run,
            sum(map(len, same.values())),
            len(same),
        )
        yield from (Case(first, nightly_run, tuple(twins)) for first, *twins in same.values())
    number = 0
    while sum(result["kills"] for result in results(top)) < kills:
        nightly_run = NIGHTLY_RUNS[number % len(NIGHTLY_RUNS)]
        folder = top / nightly_run / "random" / str(number)
        if str(folder.relative_to(top)) not in taken:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(top / nightly_run / "base", folder, symlinks=True)
            yield Case(folder, nightly_run, seed=number)
        number += 1


def results(top: Path) -> list[dict[str, Any]]:
    """What is known of each case that has ended."""
    path = top / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def note(top: Path, case: Case, held: bool) -> None:
    """One more case has ended; its folders go, unless there is something to examine."""
    kills = int((case.folder / "kills").read_text()) if case.seed >= 0 else 0
    for folder in (case.folder, *case.twins):
        said = {"case": str(folder.relative_to(top)), "held": held, "kills": kills}
        twin = {"twin_of": case.folder.name} if folder != case.folder else {}
        files.append_line(top / "results.jsonl", json.dumps({**said, **twin}))
        if held:
            shutil.rmtree(folder)


def run_all(top: Path, kills: int, workers: int) -> None:
    """Every case, so many at a time."""
    wanted = {nightly_run: state(top / nightly_run / "alone") for nightly_run in NIGHTLY_RUNS}

    def work(case: Case) -> bool:
        return recovers(case, wanted[case.nightly_run])

    for number, (case, held) in enumerate(pooled(cases(top, kills), work, workers), 1):
        note(top, case, held)
        if number % 20 == 0:
            log.info("%d cases, %d held", number, sum(one["held"] for one in results(top)))


def drill(quick: bool, folder: str, workers: int) -> Found:
    """All points, or a few; then kills at random."""
    every, kills = (200, 1) if quick else (1, 200)
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(folder or temporary).resolve()
        if not (top / "made").exists():
            for nightly_run in NIGHTLY_RUNS:
                shutil.rmtree(top / nightly_run, ignore_errors=True)
            make(top, every, workers)
        run_all(top, kills, workers)
        found = results(top)
    at_random = [one for one in found if "random" in one["case"]]
    figures = {
        "copies": len(found) - len(at_random),
        "different": sum("twin_of" not in one for one in found if one not in at_random),
        "recovered": sum(one["held"] for one in found if one not in at_random),
        "kills": sum(one["kills"] for one in at_random),
        "runs_killed": len(at_random),
        "runs_wrong": sum(not one["held"] for one in at_random),
    }
    targets = {"recovered": figures["copies"], "kills": kills, "runs_wrong": 0}
    held = 0 < figures["copies"] == figures["recovered"]
    return Found(figures, targets, held and figures["kills"] >= kills and not figures["runs_wrong"])


if __name__ == "__main__":
    run_drill(
        "kill",
        drill,
        Flag("folder", "", "folder to keep what is done in, and to go on from"),
        Flag("workers", 2, "nightly runs at a time"),
    )
