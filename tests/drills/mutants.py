"""`python -m tests.drills.mutants`: of the changes that break the code, how many the tests see.

A mutant is a file of the source with one small change. Mutants are sampled by a seed over the rooms
below and over the gate, and each is judged by its own room's tests, in a copy of the tree: where
one of them fails, or does not end, the mutant is killed. Those that live are named, each with the
reason why it may, from survivors.toml; one without a reason fails the drill.
"""

import compileall
import json
import logging
import os
import py_compile
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.drills.forked_tests import Asked, Ended, call_all, import_what_is_slow
from tests.drills.line import Flag, Found, run_drill
from tests.drills.mutant_rooms import QUICK_ROOMS, ROOMS, ROOT, draw_mutants, tests_of
from tests.drills.source_mutants import Mutant

log = logging.getLogger(__name__)

COPIED = "textvae jobs tests protos pyproject.toml README.md constraints.txt"
SURVIVORS = Path(__file__).with_name("survivors.toml")
COUNT, QUICK_COUNT = 300, 10
KILLED_SHARE_MIN, QUICK_SHARE_MIN = 0.9, 0.5
WARM_LIMIT_S, UNCHANGED_LIMIT_S = 400.0, 400.0
OPTIONS = [
    *("-x", "-q", "--tb=short", "-o", "addopts=", "--basetemp=../pytest"),
    *("-p", "no:cacheprovider", "-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin"),
]


class Job(NamedTuple):
    """What a call of pytest is about."""

    room: str
    mutant: Mutant | None
    """None for the source as it is."""


def make_trees(root: Path, count: int) -> list[Path]:
    """Copies of the tree, each in a folder of its own."""
    trees = []
    for number in range(count):
        tree = root / f"worker-{number}" / "tree"
        shutil.rmtree(tree.parent, ignore_errors=True)
        tree.mkdir(parents=True)
        for name in COPIED.split():
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, tree / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, tree / name)
        # Compiled files that know their source by its hash: a mutant is as long as the original,
        # and may be as old.
        by_hash = py_compile.PycInvalidationMode.CHECKED_HASH
        for name in ("textvae", "jobs"):
            compileall.compile_dir(tree / name, quiet=2, invalidation_mode=by_hash)
        trees.append(tree)
    return trees


def train_toy(root: Path, tree: Path, options: Sequence[str]) -> None:
    """Put the trained toy into the folder, for every call of pytest to have a copy of."""
    if not (root / "runs").exists():
        asked = Asked(Job("engine", None), ("tests/test_batch_invariance.py",), WARM_LIMIT_S)
        call_all([asked], [tree], options, make_ready, _must_pass)
        shutil.move(tree.parent / "runs", root)


def make_ready(job: Job, tree: Path) -> None:
    """The tree has the mutant, and the trained toy as no mutant before it left it."""
    root, runs = tree.parents[1], tree.parent / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    if (root / "runs").exists():
        shutil.copytree(root / "runs", runs, symlinks=True)
    if job.mutant:
        path = tree / job.mutant.file
        path.write_bytes(job.mutant.within(path.read_bytes()))


def _must_pass(ended: Ended[Job]) -> None:
    """AssertionError where the tests of the source as it is failed."""
    assert ended.code == 0, f"{ended.job.room}: fails as it is\n{ended.said}"


def unchanged_seconds(
    rooms: Sequence[str], trees: Sequence[Path], options: Sequence[str], quick: bool
) -> dict[str, float]:
    """How long the tests of each room take, all of which pass."""
    seconds: dict[str, float] = {}

    def end(ended: Ended[Job]) -> None:
        _must_pass(ended)
        seconds[ended.job.room] = ended.seconds
        log.info("%s as it is: %.1f s", ended.job.room, ended.seconds)

    asked = [Asked(Job(room, None), tests_of(room, quick), UNCHANGED_LIMIT_S) for room in rooms]
    call_all(asked, trees, options, make_ready, end)
    return seconds


class Book:
    """What became of the mutants, a line of JSON each, so that a drill cut short goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.failed_as_it_is: list[str] = []

    def of(self, mutants: Iterable[Mutant]) -> list[dict[str, Any]]:
        """The rows of these mutants."""
        wanted = {_key(one._asdict()) for one in mutants}
        return [row for row in self.rows if _key(row) in wanted]

    def end(self, ended: Ended[Job]) -> None:
        """The verdict is written down, and the tree as it was."""
        mutant = ended.job.mutant
        if mutant is None:
            self.failed_as_it_is += [ended.failed_test] if ended.code else []
            return
        shutil.copyfile(ROOT / mutant.file, ended.tree / mutant.file)
        verdict = "timeout" if ended.timed_out else "killed" if ended.code else "survived"
        facts = mutant._asdict()
        for name in ("first", "last", "replacement"):
            del facts[name]
        by, seconds = ended.failed_test, round(ended.seconds, 1)
        row = {"room": ended.job.room, "verdict": verdict, **facts, "seconds": seconds, "by": by}
        self.rows.append(row)
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        log.info("%s: %s", verdict, describe(row))


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a mutant is known by."""
    return row["file"], row["line"], row["becomes"], row["nth"]


def describe(row: Mapping[str, Any]) -> str:
    """A mutant in words."""
    return f"{row['file']}:{row['number']}:{row['column']}: {row['line']}  ->  {row['becomes']}"


def judge(
    jobs: Sequence[Job], book: Book, trees: Sequence[Path], options: Sequence[str], quick: bool
) -> float:
    """Judge all that are not in the book; gives the seconds of a mutant, all workers together.

    In the middle each room's tests are called once more on the source as it is: a machine too busy
    for them would kill mutants for nothing.
    """
    rooms = list(dict.fromkeys(job.room for job in jobs))
    seconds = unchanged_seconds(rooms, trees, options, quick)
    known = {_key(row) for row in book.rows}
    left = [job for job in jobs if job.mutant and _key(job.mutant._asdict()) not in known]
    left = sorted(left, key=lambda job: -seconds[job.room])
    if left:
        left[len(left) // 2 : len(left) // 2] = [Job(room, None) for room in rooms]
    asked = [Asked(job, tests_of(job.room, quick), 4 * seconds[job.room] + 20) for job in left]
    began = time.monotonic()
    call_all(asked, trees, options, make_ready, book.end)
    return (time.monotonic() - began) / max(len(left), 1)


def reasons() -> dict[tuple[str, str, str], str]:
    """Why a survivor may live, by its file's name, line and what becomes of it."""
    known = tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("survivor", [])
    return {(Path(one["file"]).name, one["line"], one["becomes"]): one["reason"] for one in known}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Counts in all and by room; each survivor in the log, with its reason."""
    known, unexplained = reasons(), 0
    for row in rows:
        if row["verdict"] == "survived":
            reason = known.get((Path(row["file"]).name, row["line"], row["becomes"]), "")
            unexplained += not reason
            log.info("lives: %s\n    %s", describe(row), reason or "NO REASON WHY IT MAY")
    figures: dict[str, float] = {"mutants": len(rows)}
    for verdict in ("killed", "timeout", "survived"):
        figures[verdict] = sum(row["verdict"] == verdict for row in rows)
    figures["unexplained"] = unexplained
    figures["killed_share"] = 1 - figures["survived"] / max(len(rows), 1)
    for room in dict.fromkeys(row["room"] for row in rows):
        of_room = [row["verdict"] != "survived" for row in rows if row["room"] == room]
        figures[f"{room}_mutants"] = len(of_room)
        figures[f"{room}_killed_share"] = sum(of_room) / len(of_room)
    return figures


def drill(
    quick: bool,
    count: int,
    seed: int,
    rooms: str,
    workers: int,
    folder: str,
    draw_only: bool,
    pytest_args: str,
) -> Found:
    """Draw the mutants, judge them, and count."""
    if quick:
        count, rooms = min(count, QUICK_COUNT), QUICK_ROOMS
    jobs = [Job(*each) for each in draw_mutants(rooms.split(), count, seed)]
    mutants = [job.mutant for job in jobs if job.mutant]
    if draw_only:
        for one in mutants:
            log.info("%s", describe(one._asdict()))
        return Found({"mutants": len(mutants)}, {"mutants": count}, len(mutants) == count)
    import_what_is_slow()
    options = [*OPTIONS, *pytest_args.split()]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(folder or temporary).resolve()
        trees = make_trees(folder, workers)
        if not quick and any(ROOMS[job.room].slow for job in jobs):
            train_toy(folder, trees[0], options)
        book = Book(folder / "mutants.jsonl")
        cost_s = judge(jobs, book, trees, options, quick)
        for tree in trees:
            shutil.rmtree(tree.parent)
    figures = {**summary(book.of(mutants)), "mutant_s": round(cost_s, 2)}
    figures["failed_as_it_is"] = len(book.failed_as_it_is)
    share, most = KILLED_SHARE_MIN, {"unexplained": 0, "failed_as_it_is": 0}
    if quick:  # not all judges are asked, and what they miss the others may see
        share, most = QUICK_SHARE_MIN, {"failed_as_it_is": 0}
    held = figures["killed_share"] >= share and all(figures[name] <= most[name] for name in most)
    held = held and figures["mutants"] == count
    return Found(figures, {"mutants": count, "killed_share": share, **most}, held)


if __name__ == "__main__":
    run_drill(
        "mutants",
        drill,
        Flag("count", COUNT, "mutants to draw"),
        Flag("seed", 0, "of the draw"),
        Flag("rooms", " ".join(ROOMS), "rooms to draw from, with spaces between"),
        Flag("workers", os.cpu_count() or 1, "calls of pytest at a time"),
        Flag("folder", "", "a folder to work in and to go on from; else a temporary one"),
        Flag("draw-only", False, "name the mutants and judge none"),
        Flag("pytest-args", "", "more words for pytest, as in '--pytest-args=-W default'"),
    )
