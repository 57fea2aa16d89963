"""`python -m tests.drills.scale`: ten million sentences cost per sentence what ten thousand do.

Corpora of generated sentences are ingested and trained on by the jobs themselves, with a network so
small that reading text is as large a part of a step as it will ever be. Memory and the time to the
first step are those of the largest corpus. Wants 16 GiB of memory and 6 GB of disk for an hour.
"""

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from tests.drills.line import Found, run_drill
from textvae import files

log = logging.getLogger(__name__)

CONFIG = """
[store]
model = "scale"
[model]
embed = 32
hidden = 64
latent = 8
[training]
steps = {steps}
language_model_steps = 1
batch = 128
log_steps = {window}
validation_steps = 0
collapse_stops = false
"""
WORDS = 30_000
PIECE = 100_000
FIRST_STEP = re.compile(r"vae: \d+ of \d+ ")
TARGETS = {"cost_spread": 0.15, "resident_gib": 3.0, "start_s": 10.0}


class Run(NamedTuple):
    """What one training was seen to take."""

    us_per_sentence: float
    """Median over windows of steps."""
    resident_gib: float
    """The most that was in memory at once."""
    start_s: float
    """From the command to its first step."""


def generated(sentences: int, seed: int) -> Iterator[str]:
    """Sentences of 3 to 15 invented words, frequent ones more often; hardly one twice."""
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(2, 10, WORDS)]
    weights = 1 / np.arange(1, WORDS + 1)
    for start in range(0, sentences, PIECE):
        lengths = random.integers(3, 16, min(PIECE, sentences - start))
        numbers = iter(random.choice(WORDS, int(lengths.sum()), p=weights / weights.sum()).tolist())
        for length in lengths:
            yield " ".join(words[next(numbers)] for _ in range(length))


def trained(folder: Path, sentences: int, steps: int, window: int) -> Run:
    """A corpus of its own, ingested and trained on."""
    store = [f"--store.{part}={folder / part}" for part in ("registry", "spans", "runs")]
    config = ["--config", str(folder / "scale.toml"), *store]
    files.write_text(folder / "scale.toml", CONFIG.format(steps=steps, window=window))
    text = folder / "text.txt"
    files.write_lines(text, generated(sentences, seed=sentences))
    began = time.monotonic()
    ingest = [sys.executable, "-m", "jobs.ingest", *config, f"--data.inputs={text}"]
    subprocess.run(ingest, check=True, capture_output=True)
    log.info("%d sentences ingested in %.0f s", sentences, time.monotonic() - began)
    begun, start_s = time.monotonic(), 0.0
    train = [sys.executable, "-m", "jobs.train", *config]
    process = subprocess.Popen(train, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if not start_s and FIRST_STEP.search(line):
            start_s = time.monotonic() - begun
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, f"a training on {sentences} sentences failed"
    metrics = next(folder.glob("runs/*/metrics.jsonl")).read_text().splitlines()
    rows = [json.loads(line) for line in metrics]
    speeds = [row["sentences_per_s"] for row in rows if "sentences_per_s" in row]
    return Run(1e6 / median(speeds), used.ru_maxrss / 2**20, start_s)


def drill(quick: bool) -> Found:
    """Each corpus in its turn."""
    sizes, steps, window = (
        ((10**3, 10**4), 20, 10) if quick else ((10**4, 10**5, 10**6, 10**7), 3000, 1000)
    )
    runs = {}
    for sentences in sizes:
        with tempfile.TemporaryDirectory() as folder:
            runs[sentences] = trained(Path(folder), sentences, steps, window)
        log.info("%d sentences: %s", sentences, runs[sentences])
    costs = [run.us_per_sentence for run in runs.values()]
    largest = runs[sizes[-1]]
    figures = {
        **{f"us_per_sentence_at_{size}": run.us_per_sentence for size, run in runs.items()},
        "cost_spread": max(costs) / min(costs) - 1,
        "resident_gib": largest.resident_gib,
        "start_s": largest.start_s,
    }
    # What a quick run takes is too short to compare, and says more of the machine's other work.
    targets = {"resident_gib": TARGETS["resident_gib"]} if quick else TARGETS
    return Found(figures, targets, all(figures[name] <= most for name, most in targets.items()))


if __name__ == "__main__":
    run_drill("scale", drill)
