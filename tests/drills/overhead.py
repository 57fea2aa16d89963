"""`python -m tests.drills.overhead`: the cost of a nightly run next to training.

Two runs with the default recipe: the first of a registry, and one whose champion serves, with as
many sentences that are new. Each learns its text once, which is the least that makes sense, so that
all else weighs most. Then a training is killed, and the time from the start of the next process to
its next step is compared with that of one that has the same to load and nothing to go on from.
"""

import json
import logging
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from tests.drills.line import Found, run_drill
from tests.job_runs import ROOT
from textvae import files
from textvae.corpus.toy_grammar import sample

log = logging.getLogger(__name__)

CONFIG = """
[store]
model = "toy"
[data]
inputs = ["inbox"]
[gate]
informed_share_min = -1e9
shuffle_nats_min = -1e9
distinct_min = -1e9
kl_nats_min = -1e9
worse_share_max = 1e9
champion_days_max = 0.0
"""
WHOLE = """
[training]
steps = 781
language_model_steps = 781
kl_steps = 200
"""
"""Batches of 128: each sentence once."""
SMALL = """
[tokenizer]
vocab = 600
kind = "bpe"
[model]
embed = 48
hidden = 64
latent = 8
dropout = 0.0
[training]
steps = 500
language_model_steps = 50
batch = 32
learning_rate = 5e-3
kl_steps = 100
target_kl_nats = 6.0
[evaluation]
sentences = 60
importance_samples = 5
prior_sentences = 500
prior_components = 2
"""
"""A run so short that its shares mean nothing."""
OVERHEAD_MAX, EVALUATION_MAX, RESUME_S_MAX = 0.05, 0.25, 2.0
TAILS = (
    *("", " today", " again", " at last", " as ever"),
    *(" for once", " as well", " in the end", " by now", " one day"),
)
"""With each of them a sentence of the toy grammar is another one: 207,360 in all."""


def run_nightly(root: Path) -> dict[str, float]:
    """Seconds of the stages of a nightly run, and `whole` of its process."""
    command = [sys.executable, "-m", "jobs.nightly", "--config", "toy.toml"]
    began_s = time.monotonic()
    done = subprocess.run(
        command, cwd=root, env=environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    whole_s = time.monotonic() - began_s
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["outcome"] == "promoted", result
    log.info("%s: %.1f s, %s", result["outcome"], whole_s, result["seconds"])
    return {**result["seconds"], "whole": whole_s}


def environment() -> dict[str, str]:
    """That of this process, in which the project is found from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def shares(run: dict[str, float]) -> tuple[float, float]:
    """What is neither training nor evaluation, and evaluation, as shares of the whole."""
    other_s = run["whole"] - run["train"] - run["evaluate"]
    return other_s / run["whole"], run["evaluate"] / run["whole"]


def first_step_s(root: Path, steps: int) -> float:
    """Seconds from the start of a training to its first step beyond `steps`; it is then killed."""
    flags = ["--config", "toy.toml", "--training.start", "fresh", "--training.log-steps", "1"]
    flags += ["--training.checkpoint-s", "1"]
    began_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.train", *flags],
        cwd=root,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    try:
        while max(steps_done(root), default=0) <= steps:
            assert process.poll() is None, f"the training ended with {process.returncode}"
            time.sleep(0.01)
        return time.monotonic() - began_s
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def steps_done(root: Path) -> list[int]:
    """The steps in the metrics of the run, in their order; a torn line is none yet."""
    lines = []
    for path in (root / "runs").glob("*/metrics.jsonl"):
        lines += [line for line in path.read_text().splitlines() if line.endswith("}")]
    return [json.loads(line)["step"] for line in lines]


def resume_s(root: Path, enough: int, rounds: int) -> float:
    """By how much the first step of a run that goes on comes later than that of one that begins.

    Both have the same text and tokenizer to load.
    """
    first_step_s(root, enough)
    differences = []
    for _ in range(rounds):
        fresh = shutil.copytree(root, root.with_name("fresh"))
        for run in (fresh / "runs").iterdir():
            shutil.rmtree(run / "checkpoints", ignore_errors=True)
            (run / "metrics.jsonl").unlink(missing_ok=True)
        begins_s = first_step_s(fresh, 0)
        shutil.rmtree(fresh)
        again = shutil.copytree(root, root.with_name("again"))
        goes_on_s = first_step_s(again, max(steps_done(again)))
        shutil.rmtree(again)
        log.info(
            "first step after %.2f s of a run that begins, %.2f s of one that goes on",
            begins_s,
            goes_on_s,
        )
        differences.append(goes_on_s - begins_s)
    return statistics.median(differences)


def drill(quick: bool) -> Found:
    """Two results, and resumes."""
    count = 1000 if quick else 100_000
    texts = (row.text + tail for tail in TAILS for row in sample(20_736, seed=0))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "nightly"
        files.write_text(root / "toy.toml", CONFIG + (SMALL if quick else WHOLE))
        results = []
        for day in ("monday", "tuesday"):
            files.write_lines(root / "inbox" / f"{day}.txt", islice(texts, count))
            results.append(run_nightly(root))
        shutil.rmtree(root / "runs")
        later_s = resume_s(root, 10, 1 if quick else 3)
    (first_other, first_evaluate), (other_stages, evaluate) = map(shares, results)
    figures = {
        "sentences": count,
        "first_run_s": round(results[0]["whole"], 1),
        "first_run_overhead": round(first_other, 4),
        "first_run_evaluation": round(first_evaluate, 4),
        "later_run_s": round(results[1]["whole"], 1),
        "later_run_overhead": round(other_stages, 4),
        "later_run_evaluation": round(evaluate, 4),
        "resume_s": round(later_s, 2),
    }
    most = {
        "first_run_overhead": OVERHEAD_MAX,
        "first_run_evaluation": EVALUATION_MAX,
        "later_run_overhead": OVERHEAD_MAX,
        "later_run_evaluation": EVALUATION_MAX,
        "resume_s": RESUME_S_MAX,
    }
    if quick:
        most = {"resume_s": RESUME_S_MAX}
    return Found(figures, most, all(figures[name] <= most[name] for name in most))


if __name__ == "__main__":
    run_drill("overhead", drill)
