"""`python -m tests.drills.resume`: however often it is cut off, a run ends with the same weights.

Schedules of up to five interruptions, by SIGKILL or SIGTERM, at any step, in the validations at the
held-out side and in checkpoints, at the ends of epochs and phases: with one thread, with two, and
in two processes that learn together, each started as torchrun starts them. A process is forked from
one that has torch in memory already and has made no thread yet.
"""

import dataclasses
import hashlib
import json
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.drills.forks import pooled
from tests.drills.line import Flag, Found, run_drill
from tests.test_start import ancestor_of, corpus, recipe
from textvae import files
from textvae.model.native import native_to_learn
from textvae.store.versions import list_versions, open_version, publish
from textvae.training.ranks import join_ranks
from textvae.training.recipe import Recipe
from textvae.training.run import train
from textvae.training.start import FRESH, Start, choose_start

log = logging.getLogger(__name__)

INTERRUPTIONS_MAX = 5
# Batches, validations and checkpoints take a few milliseconds each: such a delay ends anywhere.
DELAY_S_MAX = 0.03
WAITING = "OMP_WAIT_POLICY"


class Kind(NamedTuple):
    """What is learned, under which arithmetic."""

    name: str
    threads: int
    ranks: int
    recipe: Recipe
    warm: bool = False


class Cut(NamedTuple):
    """One interruption."""

    phase: str
    step: int
    delay_s: float
    """After the step; 0 for at once."""
    number: signal.Signals
    rank: int


def kinds(threads: int, ranks: int) -> list[Kind]:
    """Each way that a run can go: its phases, what it keeps, and what it begins from."""
    ways = {
        "plain": recipe(batch=64),
        "warm": recipe(batch=64, shrink=0.9, perturb=0.1),
        "choosing": recipe(batch=64, autoencoder_steps=4, select="iw-nll", validation_steps=3),
        "language-model-first": recipe(batch=64, decoder_start="language-model"),
    }
    return [Kind(name, threads, ranks, way, name == "warm") for name, way in ways.items()]


def schedule(kind: Kind, rng: random.Random) -> list[Cut]:
    """One to five interruptions; a third of them right after a validation step."""
    config = kind.recipe.training
    lengths = {
        "autoencoder": config.autoencoder_steps,
        "vae": config.steps,
        "language-model": config.language_model_steps,
    }
    steps = [(phase, step) for phase, most in lengths.items() for step in range(1, most + 1)]
    validations = [root for root in steps if root[1] % config.validation_steps == 0]
    cuts = []
    for _ in range(rng.randint(1, INTERRUPTIONS_MAX)):
        at_validation = rng.random() < 1 / 3
        phase, step = rng.choice(validations if at_validation else steps)
        delay_s = rng.uniform(0, DELAY_S_MAX) if at_validation or rng.random() < 0.5 else 0.0
        number = rng.choice((signal.SIGKILL, signal.SIGTERM))
        cuts.append(Cut(phase, step, delay_s, number, rng.randrange(kind.ranks)))
    # In the order of the run, so that few of them come after what they would have cut.
    return sorted(cuts, key=lambda cut: steps.index((cut.phase, cut.step)))


def learn(kind: Kind, start: Start, run: Path, checkpoint_s: float, cut: Cut | None) -> None:
    """Learn in this process, which `cut` may end; the hash of what was learned is left in `run`."""
    torch.set_num_threads(kind.threads)

    def on_progress(phase: str, done: int, steps: int, figures: Mapping[str, float]) -> None:
        if cut and (phase, done) == (cut.phase, cut.step):
            if cut.delay_s:
                threading.Timer(cut.delay_s, os.kill, (os.getpid(), cut.number)).start()
            else:
                os.kill(os.getpid(), cut.number)

    timed = dataclasses.replace(kind.recipe.training, checkpoint_s=checkpoint_s)
    parent = start.ancestor.name if start.ancestor else ""
    what = kind.recipe._replace(training=timed)
    made = train(what, corpus(200, 60), run, parent, on_progress, start)
    names = ("model.safetensors", "language_model.safetensors", "tokenizer.model")
    learned = b"".join(made.files[name] for name in names)
    files.write_text(run / "sha256", hashlib.sha256(learned).hexdigest())


def forked(kind: Kind, rank: int, port: int, *work: Any) -> int:
    """The number of a new process that does the work as one of torchrun's."""
    if number := os.fork():
        return number
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        torchrun = {"WORLD_SIZE": kind.ranks, "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in torchrun.items()})
        os.environ["MASTER_ADDR"] = "127.0.0.1"
        with join_ranks("cpu"):
            learn(kind, *work)
        code = 0
    except KeyboardInterrupt:
        code = 75
    except BaseException as error:
        # A rank whose neighbour was killed fails in words of its own; alone it is a bug.
        log.info("rank %d of %s ended: %s", rank, kind.name, error, exc_info=kind.ranks == 1)
    finally:
        os._exit(code)


def attempt(kind: Kind, start: Start, run: Path, checkpoint_s: float, cut: Cut | None) -> bool:
    """Whether a run came to its end in these processes; AssertionError where it failed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ours = [cut if cut and cut.rank == rank else None for rank in range(kind.ranks)]
    waiting = {
        forked(kind, rank, port, start, run, checkpoint_s, mine) for rank, mine in enumerate(ours)
    }
    codes = []
    while waiting:
        ended, status = os.waitpid(-1, 0)
        waiting.remove(ended)
        codes.append(os.waitstatus_to_exitcode(status))
        if codes[-1] < 0:
            # As torchrun does where one of its processes was killed.
            for other in waiting:
                os.kill(other, signal.SIGKILL)
    assert 1 not in codes or min(codes) < 0, f"a run failed by itself: {codes}"
    return set(codes) == {0}


def sha256_after(kind: Kind, start: Start, cuts: list[Cut], rng: random.Random, seen: Any) -> str:
    """What a run has learned that was interrupted so; `seen` counts what really was."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        for cut in [*cuts, None]:
            if attempt(kind, start, run, rng.choice((0.0, 0.02, 1.0)), cut):
                break
            assert cut is not None, "ended before its end, and nobody asked it to"
            seen[cut.number.name] += 1
            seen["delayed" if cut.delay_s else "between_steps"] += 1
        return (run / "sha256").read_text()


def champion_of(root: Path) -> Start:
    """The start of the warm runs: a version of the first span, learned by a process of its own."""
    if (number := os.fork()) == 0:
        made = train(recipe(), corpus(200), root / "run", "", lambda *_: None)
        publish(root / "registry", "toy", "20260101", made.files, made.facts)
        os._exit(0)
    assert os.waitpid(number, 0)[1] == 0
    name = list_versions(root / "registry", "toy")[0]
    version = ancestor_of(open_version(root / "registry", "toy", name))
    return choose_start(recipe(), corpus(200, 60), version)


class Case(NamedTuple):
    """A kind of run and its schedule; number -1: undisturbed."""

    kind: Kind
    number: int

    @property
    def name(self) -> str:
        """What its result is called."""
        return f"{self.kind.name}-{self.kind.threads}-{self.kind.ranks}-{self.number}"


def mixed(counts: Mapping[tuple[int, int], int]) -> list[Case]:
    """All schedules, so that any part of them is of every kind."""
    all_of_them = [(*way, number) for way, count in counts.items() for number in range(count)]
    all_of_them.sort(key=lambda one: (one[2] + 0.5) / counts[one[:2]])
    return [
        Case(kinds(threads, ranks)[number % 4], number) for threads, ranks, number in all_of_them
    ]


def run_all(counts: Mapping[tuple[int, int], int], workers: int) -> Counter[str]:
    """All schedules, each against the undisturbed run of its kind; what was seen of them."""
    cases, began_s = mixed(counts), time.monotonic()
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        warm = champion_of(root)
        assert warm.kind == "champion", warm.why

        def learned(case: Case) -> bool:
            """Whether it ended; what it learned and how it was interrupted is left in a file."""
            rng, counted = random.Random(f"{case.kind[:3]} {case.number}"), Counter[str]()
            cuts = schedule(case.kind, rng) if case.number >= 0 else []
            start = warm if case.kind.warm else FRESH
            sha256 = sha256_after(case.kind, start, cuts, rng, counted)
            files.write_json(root / case.name, {"sha256": sha256, "seen": counted})
            return True

        wholes = [Case(kind, -1) for kind in dict.fromkeys(case.kind for case in cases)]
        for case, ended in pooled([*wholes, *cases], learned, workers):
            assert ended, f"{case.name} failed"
            log.info("%s, %d s", case.name, time.monotonic() - began_s)
        for case in cases:
            found = json.loads((root / case.name).read_bytes())
            whole = json.loads((root / case._replace(number=-1).name).read_bytes())
            seen.update(found["seen"])
            seen["same_bytes"] += found["sha256"] == whole["sha256"]
            if found["sha256"] != whole["sha256"]:
                log.error("%s: OTHER", case.name)
    return seen


def drill(quick: bool, workers: int) -> Found:
    """A hundred schedules, or a few."""
    logging.getLogger("textvae").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    native_to_learn()
    counts = {(1, 1): 3, (2, 1): 2, (1, 2): 1} if quick else {(1, 1): 50, (2, 1): 40, (1, 2): 10}
    seen, wanted = run_all(counts, workers), sum(counts.values())
    interruptions = seen["SIGKILL"] + seen["SIGTERM"]
    figures = {"schedules": wanted, "interruptions": interruptions, **seen}
    return Found(
        figures,
        {"same_bytes": wanted, "interruptions": wanted},
        seen["same_bytes"] == wanted and interruptions >= wanted,
    )


if __name__ == "__main__":
    if WAITING not in os.environ:
        # Two threads that spin for each other on a busy machine take ten times as long.
        again = [sys.executable, "-m", "tests.drills.resume", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, WAITING: "passive"})
    run_drill("resume", drill, Flag("workers", 1, "runs at a time"))
