"""`python -m tests.drills.promotions`: one promoter wins, every reader reads, one job is inside."""

import itertools
import json
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from tests.drills.line import Found, run_drill
from textvae import files, locks
from textvae.errors import BusyError
from textvae.store.promotions import (
    champion,
    current_promotion,
    promote,
    promotion_history,
    rollback,
)
from textvae.store.versions import Version, publish

log = logging.getLogger(__name__)

FORK = multiprocessing.get_context("fork")
"""Children of this process, which has imported all that they need and no torch."""
MODEL = "toy"
BY = {"reason": "a drill", "at": "2026-11-23T02:15:00Z"}
PROMOTERS, READERS = 6, 4
READS_A_FLIP = 100
LONG_S = 0.01
"""How long a holder stays, so that the other of a pair comes while it is inside."""
FREE_MS_MAX = 100.0

GENERATIONS = {True: 60, False: 2000}
FLIPS = {True: 200, False: 10_000}
ROLLBACK_EVERY = {True: 10, False: 50}
PAIRS = {True: 40, False: 1000}
KILLS = {True: 40, False: 1000}


def started(work: Callable[..., None], shares: Sequence[tuple[Any, ...]]) -> list[BaseProcess]:
    """A child for each share of the work."""
    children = [FORK.Process(target=work, args=share) for share in shares]
    for child in children:
        child.start()
    return children


def ended(children: Sequence[BaseProcess]) -> None:
    """All children are done, and none failed."""
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * len(children)


def small_versions(registry: Path, count: int) -> list[Version]:
    """Versions of a few bytes, each with its own."""
    return [
        publish(registry, MODEL, "20261123", {"weights": b"%08d" % seed}, {"seed": seed})
        for seed in range(count)
    ]


def race(registry: Path, version: Version, known: Sequence[str], generations: int) -> None:
    """Promotes over whatever serves until the log is long enough, and notes how it went."""
    won: list[int] = []
    lost = untold = 0
    while (
        number := now.number if (now := current_promotion(registry, MODEL)) else 0
    ) < generations:
        try:
            made = promote(registry, MODEL, version, expected=number, actor=version.name, **BY)
            won.append(made.number)
        except BusyError as error:
            lost += 1
            is_named = any(
                f"since promotion {number}: {name} serves" in str(error) for name in known
            )
            untold += not is_named
    notes = {"won": won, "lost": lost, "untold": untold}
    files.write_json(registry / f"{version.name}.json", notes)


def raced(registry: Path, generations: int) -> dict[str, float]:
    """Six promoters, each with a version of its own, against one another."""
    versions = small_versions(registry, PROMOTERS)
    known = [version.name for version in versions]
    ended(started(race, [(registry, version, known, generations) for version in versions]))
    promotions = promotion_history(registry, MODEL)
    notes = [json.loads((registry / f"{name}.json").read_bytes()) for name in known]
    winners = Counter(number for note in notes for number in note["won"])
    in_log = {one.number: one.actor for one in promotions}
    informed = all(
        in_log[number] == name
        for name, note in zip(known, notes, strict=True)
        for number in note["won"]
    )
    return {
        "generations": len(promotions),
        "generations_without_one_winner": sum(winners[one.number] != 1 for one in promotions)
        + (not informed),
        "gaps": sum(one.number != number for number, one in enumerate(promotions, 1))
        + sum(one.previous != old.version for old, one in pairwise(promotions)),
        "losers": sum(note["lost"] for note in notes),
        "losers_not_told": sum(note["untold"] for note in notes),
    }


class Seen(NamedTuple):
    """What readers and the promoter share; each item has one writer."""

    reads: Any
    """Of each reader: promotions, champions, and how many of both were wrong."""
    flips: Any
    """The number of the newest promotion, and whether it was the last."""


def read(registry: Path, known: dict[str, str], seen: Seen, reader: int) -> None:
    """Reads the promotion in force nine times, then the champion, until the promoter has ended.

    Each is parsed, and of the champion every file is hashed. Wrong is what is missing, torn, of
    another version's manifest, or older than a promotion that was made before this read began.
    """
    newest, parent = 0, os.getppid()
    for turn in itertools.count():
        newest, ended = max(newest, seen.flips[0]), seen.flips[1]
        try:
            if turn % 10:
                promotion = current_promotion(registry, MODEL)
                right = promotion is not None and promotion.number >= newest
                if promotion is not None:
                    right = right and known.get(promotion.version) == promotion.manifest_sha256
                    newest = promotion.number
            else:
                version = champion(registry, MODEL)
                right = known.get(version.name) == version.manifest_sha256
        except Exception:
            log.exception("a read failed")
            right = False
        seen.reads[3 * reader + (turn % 10 == 0)] += 1
        seen.reads[3 * reader + 2] += not right
        if ended or os.getppid() != parent:
            return


def flipped(registry: Path, flips: int, rollback_every: int) -> dict[str, float]:
    """Promotions and rollbacks, one after another, while readers read a hundred times between."""
    versions = small_versions(registry, 3)
    known = {version.name: version.manifest_sha256 for version in versions}
    seen = Seen(FORK.RawArray("q", 3 * READERS), FORK.RawArray("q", 2))
    rollbacks = 0
    for number, version in enumerate(versions):
        promote(registry, MODEL, version, expected=number, actor="first", **BY)
    seen.flips[0] = first = len(versions)
    readers = started(read, [(registry, known, seen, reader) for reader in range(READERS)])
    for flip in range(flips):
        while sum(seen.reads) < flip * READS_A_FLIP and not any(seen.reads[2::3]):
            time.sleep(0.0002)
        number, version = first + flip, versions[flip % len(versions)]
        if flip % rollback_every == rollback_every - 1:
            rollback(registry, MODEL, actor="drill", to=version.name, **BY)
            rollbacks += 1
        else:
            promote(registry, MODEL, version, expected=number, actor="drill", **BY)
        seen.flips[0] = number + 1
    while sum(seen.reads) < flips * READS_A_FLIP and not any(seen.reads[2::3]):
        time.sleep(0.001)
    seen.flips[1] = 1
    ended(readers)
    promotions, champions, wrong = (sum(seen.reads[kind::3]) for kind in range(3))
    return {
        "flips": flips,
        "rollbacks_among_them": rollbacks,
        "readers": READERS,
        "reads": promotions + champions,
        "reads_of_the_promotion": promotions,
        "reads_of_the_champion": champions,
        "wrong_reads": wrong,
    }


def enter(lock: Path, barrier: Any) -> None:
    """Start with another process; end with 0 for inside, 75 for refused, 9 if both are inside."""
    inside = lock.with_name("inside")
    barrier.wait(60)
    try:
        with locks.hold_lock(lock, "a drill"):
            try:
                # Of two that are inside, the kernel lets one make this.
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                os._exit(9)
            time.sleep(LONG_S)
            inside.unlink()
    except BusyError as error:
        os._exit(error.exit_code)


def hold(lock: Path, held: Any) -> None:
    """Takes the lock and never lets go."""
    with locks.hold_lock(lock, "a drill"):
        held.send_bytes(b"held")
        time.sleep(600)


def locked(root: Path, pairs: int, kills: int) -> dict[str, float]:
    """Pairs that start together; then holders that are killed, and how soon the next is inside."""
    lock, barrier = root / ".lock", FORK.Barrier(2)
    codes: Counter[tuple[int, ...]] = Counter()
    for _ in range(pairs):
        children = started(enter, [(lock, barrier)] * 2)
        for child in children:
            child.join()
        codes[tuple(sorted(child.exitcode or 0 for child in children))] += 1
    assert set(codes) <= {(0, 0), (0, 75), (75, 75), (0, 9), (9, 75)}, codes
    free_ms, inside_ms = zip(*(freed_ms(lock) for _ in range(kills)), strict=True)
    return {
        "pairs": pairs,
        "pairs_of_which_one_was_refused": codes[0, 75],
        "pairs_of_which_none_entered": codes[75, 75],
        "double_entries": codes[0, 9] + codes[9, 75],
        "holders_killed": kills,
        "free_after_kill_ms_median": round(statistics.median(free_ms), 2),
        "free_after_kill_ms_max": round(max(free_ms), 2),
        "next_inside_after_kill_ms_median": round(statistics.median(inside_ms), 2),
        "next_inside_after_kill_ms_max": round(max(inside_ms), 2),
    }


def freed_ms(lock: Path) -> tuple[float, float]:
    """Milliseconds from the kill of a holder until its lock is free, and until the next is inside.

    Between the two the next holder writes its name to the disk.
    """
    here, there = FORK.Pipe(duplex=False)
    [holder] = started(hold, [(lock, there)])
    assert here.recv_bytes() == b"held"
    probe = FileLock(lock, blocking=False, fallback_to_soft=False)
    began = time.perf_counter()
    holder.kill()
    while True:
        try:
            probe.acquire()
            break
        except Timeout:
            time.sleep(0.0001)
    free = time.perf_counter()
    probe.release()
    with locks.hold_lock(lock, "the next"):
        inside = time.perf_counter()
    holder.join()
    return (free - began) * 1000, (inside - began) * 1000


def drill(quick: bool) -> Found:
    """Promoters, then readers, then holders of a lock."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        figures = raced(root / "race", GENERATIONS[quick])
        log.info("raced: %s", figures)
        figures |= flipped(root / "flips", FLIPS[quick], ROLLBACK_EVERY[quick])
        log.info("read: %s", figures)
        figures |= locked(root, PAIRS[quick], KILLS[quick])
    never = ("generations_without_one_winner", "gaps", "losers_not_told", "wrong_reads")
    targets = dict.fromkeys((*never, "double_entries", "pairs_of_which_none_entered"), 0.0)
    targets["free_after_kill_ms_max"] = FREE_MS_MAX
    held = all(figures[name] <= limit for name, limit in targets.items())
    least = {
        "generations": GENERATIONS[quick],
        "reads": FLIPS[quick] * READS_A_FLIP,
        # Without these the drill would have proved nothing.
        "losers": 1,
        "pairs_of_which_one_was_refused": PAIRS[quick] // 10,
    }
    held = held and all(figures[name] >= limit for name, limit in least.items())
    return Found(figures, {**targets, **least}, held)


if __name__ == "__main__":
    run_drill("promotions", drill)
