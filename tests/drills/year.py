"""`python -m tests.drills.year`: a year of nightly runs that nobody watches.

Each day leaves text in the inbox, or none, or the same again, or broken files next to it; the
way of writing changes with the seasons. Runs are killed, stopped, refused by a full disk, and begun
by clocks that are a year ahead or behind. A supervisor does what it would do anywhere: it starts a
run again that was killed or that asks for it by its exit code. Nobody does anything else.
"""

import errno
import json
import logging
import os
import random
import resource
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.drills.forks import Reach, ended, killed, nothing, outlives, started
from tests.drills.line import Flag, Found, run_drill
from tests.job_runs import MODEL, NIGHTLY_CONFIG
from textvae import files
from textvae.corpus.toy_grammar import sample
from textvae.store.check import check_registry, check_spans
from textvae.store.decisions import pruned_decisions, read_decisions
from textvae.store.promotions import champion, promotion_history
from textvae.store.prune import leftovers
from textvae.store.versions import list_versions, open_version

log = logging.getLogger(__name__)

DAY_S = 86_400.0
FIRST, DAILY = 600, 50
"""New sentences of the first day, and of each other."""
STARTS_MAX = 6
"""A supervisor gives up after so many starts, and a person would have to come."""
AGAIN = (74, 75, -signal.SIGKILL)
INBOXES = {"plain": 80, "empty": 6, "the same": 6, "broken": 8}
TROUBLES = {"none": 66, "killed": 12, "stopped": 6, "full": 10, "ahead": 3, "behind": 3}
"""Of a hundred days."""
NIGHTLY_RUN_S_MAX = 12.0
VERSIONS_MAX = 30
"""14 days of grace, the last 5 that served, their parents, and those of clocks that were ahead."""
SEASONS = ("", " today", " again", " at last", " as ever")
CONFIG = (
    NIGHTLY_CONFIG.replace("steps = 120", "steps = 400\nwarm_steps = 60\nreplay_min = 300", 1)
    .replace('start = "fresh"', 'start = "champion"')
    .replace("learning_rate = 1.5e-2", "learning_rate = 3e-3")
    .replace("word_dropout = 1.0", "word_dropout = 0.3")
    .replace("target_kl_nats = 0.0", "target_kl_nats = 6.0")
    .replace("kl_steps = 100000", "kl_steps = 100")
    .replace("worse_share_max = 1e9", "worse_share_max = 0.02")
    .replace("champion_days_max = 0.0", "champion_days_max = 7.0\nsentences = 300")
)


def draw_case(chances: dict[str, int], chance: random.Random) -> str:
    """One of them."""
    return chance.choices(list(chances), list(chances.values()))[0]


def fate(day: int, quick: bool) -> tuple[str, str]:
    """What the day leaves in the inbox, and what befalls its run; a few days see all of it."""
    if day == 0:
        return "plain", "none"
    if quick:
        inboxes = ("plain", "broken", "plain", "empty", "plain", "the same", "plain")
        return inboxes[day % len(inboxes)], list(TROUBLES)[day % len(TROUBLES)]
    chance = random.Random(day)
    return draw_case(INBOXES, chance), draw_case(TROUBLES, chance)


def fill(inbox: Path, day: int, kind: str, texts: list[str]) -> None:
    """What the day leaves in the inbox."""
    season = SEASONS[day * len(SEASONS) // 365 % len(SEASONS)]
    begin = FIRST + (day - 1) * DAILY if day else 0
    lines = [text + season for text in texts[begin : FIRST + day * DAILY]]
    if kind == "the same":
        lines = [line for path in sorted(inbox.glob("*.txt"))[-1:] for line in path.open()]
        lines = [line.strip() for line in lines]
    if kind != "empty":
        files.write_lines(inbox / f"{day:03d}.txt", lines)
    if kind == "broken":
        files.write_bytes(inbox / f"{day:03d}.bin.txt", b"\xff\xfe\x00 no text \x80" * 9)
        files.write_text(
            inbox / f"{day:03d}.jsonl", '{"text": "the king slept"}\n{"text": 7}\n{"te'
        )


def full_from(first: int) -> Reach:
    """A disk without room from this call on."""

    def reach(number: int) -> None:
        if number >= first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return reach


def run_nightly(folder: Path, day: int, trouble: str, chance: random.Random) -> list[int]:
    """The exit codes of all its starts; the last is that of one that nothing was done to."""
    jump = {"ahead": 400 * DAY_S, "behind": -400 * DAY_S}.get(trouble, 0.0)
    ahead_s = day * DAY_S + jump
    codes = []
    for _ in range(chance.randint(1, 3) if trouble in ("killed", "stopped", "full") else 0):
        reach = full_from(chance.randint(1, 250)) if trouble == "full" else nothing
        process = started(folder, reach, ahead_s)
        if trouble == "full" or not outlives(process, chance.uniform(0.0, 3.0)):
            codes.append(ended(process))
        else:
            number = signal.SIGKILL if trouble == "killed" else signal.SIGTERM
            codes.append(killed(process, number))
        if codes[-1] not in AGAIN:
            return codes
    while len(codes) < STARTS_MAX:
        codes.append(ended(started(folder, nothing, ahead_s)))
        if codes[-1] not in AGAIN:
            break
    return codes


def unexplained(registry: Path) -> int:
    """Promotions whose decision is neither next to their version nor in the record of its prune."""
    known = pruned_decisions(registry, MODEL)
    for name in list_versions(registry, MODEL):
        known[name] = read_decisions(registry, open_version(registry, MODEL, name))
    missing = 0
    for promotion in promotion_history(registry, MODEL):
        said = known[promotion.version].get(promotion.number - 1, [])
        missing += not {one["decision"] for one in said} & {"first", "accepted"}
    return missing


def worked_s() -> float:
    """Seconds of the processor that all nightly runs have had, whatever else it had to do."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def size_of(folder: Path) -> int:
    """Bytes of all files but the log of this drill."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "log")
    return sum(path.lstat().st_size for path in paths)


class Year:
    """What was seen of all nightly runs so far."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.registry = folder, folder / "registry"
        self.seen: Counter[str] = Counter()
        self.versions_max = 0
        self.longest_s = 0.0
        self.mega_bytes: list[float] = []

    def live(self, day: int, inbox: str, trouble: str, texts: list[str]) -> None:
        """One day and its run; whatever a person would have to see to is an intervention."""
        fill(self.folder / "inbox", day, inbox, texts)
        asks = "true" if day % 20 == 0 else "false"
        settings = CONFIG.replace("ask_server = false", f"ask_server = {asks}")
        files.write_text(self.folder / "toy.toml", settings)
        began_s = worked_s()
        codes = run_nightly(self.folder, day, trouble, random.Random(day))
        took_s = (worked_s() - began_s) / len(codes)
        self.longest_s = max(self.longest_s, took_s)
        result = json.loads((self.folder / "runs" / "nightly" / "result.json").read_bytes())
        self.seen[result["outcome"]] += 1
        self.seen[f"inbox_{inbox.replace(' ', '_')}"] += 1
        self.seen[f"run_{trouble}"] += 1
        self.seen["starts"] += len(codes)
        if codes[-1] != 0:
            self.seen["interventions"] += 1
            log.error("day %d ended with %s: %s", day, codes, result)
        champion(self.registry, MODEL)
        self.versions_max = max(self.versions_max, len(list_versions(self.registry, MODEL)))
        self.mega_bytes.append(size_of(self.folder) / 1e6)
        codes_seen = "%3d: %-8s %-7s %-15s %-10s %4.1f s a start, %d versions, %.1f MB %s"
        said = (inbox, trouble, codes, result["outcome"], took_s)
        size = (len(list_versions(self.registry, MODEL)), self.mega_bytes[-1])
        log.info(codes_seen, day, *said, *size, "; ".join(result.get("reasons", [])))


def drill(quick: bool, runs: int) -> Found:
    """So many nightly runs, and what fsck says of what they leave."""
    count = 8 if quick else runs
    texts = [row.text for row in sample(FIRST + count * DAILY, seed=3)]
    with tempfile.TemporaryDirectory() as folder:
        year = Year(Path(folder))
        for day in range(count):
            year.live(day, *fate(day, quick), texts)
        problems = [
            one.problem
            for found in (check_registry(year.registry), check_spans(year.folder / "spans"))
            for one in found
        ]
        problems += map(str, leftovers(year.folder, time.time() + count * DAY_S))
        for problem in problems:
            log.error("left: %s", problem)
        promotions, missing = (
            len(promotion_history(year.registry, MODEL)),
            unexplained(year.registry),
        )
    figures = {
        "runs": count,
        "promotions": promotions,
        "interventions": year.seen["interventions"],
        "unexplained_promotions": missing,
        "fsck_findings": len(problems),
        "versions_max": year.versions_max,
        "longest_start_s": round(year.longest_s, 1),
        "mega_bytes_at_half": round(year.mega_bytes[count // 2], 1),
        "mega_bytes_at_end": round(year.mega_bytes[-1], 1),
        **dict(sorted(year.seen.items())),
    }
    most = {
        "interventions": 0,
        "unexplained_promotions": 0,
        "fsck_findings": 0,
        "versions_max": VERSIONS_MAX,
    }
    if not quick:
        most["longest_start_s"] = NIGHTLY_RUN_S_MAX
    held = all(figures[name] <= number for name, number in most.items())
    return Found(figures, most, held and promotions > 1)


if __name__ == "__main__":
    run_drill("year", drill, Flag("runs", 365, "runs of the year"))
