"""`python -m tests.drills.kill`: a training job killed again and again ends with the same bytes."""

import logging
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.drills.line import Found, run_drill
from textvae import files
from textvae.store.versions import list_versions
from textvae.text.grammar import sample

log = logging.getLogger(__name__)

CONFIG = """
[store]
model = "toy"
[data]
valid_share = 0.1
test_share = 0.1
[tokenizer]
vocab = 600
kind = "bpe"
[model]
embed = 32
hidden = 48
latent = 8
[training]
steps = {steps}
language_model_steps = 40
batch = 64
kl_steps = 20
checkpoint_s = 0.2
validation_steps = 50
collapse_stops = false
"""


def job(name: str, place: Path) -> list[str]:
    """The command of a job in a folder of its own."""
    store = [f"--store.{part}={place / part}" for part in ("registry", "spans", "runs")]
    return [sys.executable, "-m", f"jobs.{name}", "--config", str(place / "drill.toml"), *store]


def prepared(place: Path, steps: int) -> Path:
    """A folder with text ingested."""
    files.write_text(place / "drill.toml", CONFIG.format(steps=steps))
    files.write_lines(place / "inbox" / "toy.txt", [row.text for row in sample(2000, seed=0)])
    ingest = [*job("ingest", place), "--data.inputs", str(place / "inbox")]
    subprocess.run(ingest, check=True, capture_output=True)
    return place


def checkpoints(place: Path) -> set[Path]:
    """Those that stand now."""
    return set(place.glob("runs/*/checkpoints/*/*"))


def drill(quick: bool) -> Found:
    """Kills at random moments, until the job ends by itself."""
    steps, kills_max = (60, 2) if quick else (600, 20)
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = (prepared(Path(folder) / name, steps) for name in ("whole", "killed"))
        subprocess.run(job("train", whole), check=True, capture_output=True)
        kills = 0
        while True:
            saved = checkpoints(killed)
            process = subprocess.Popen(
                job("train", killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            # A clock alone would miss a run that is quicker than the first one was.
            while process.poll() is None and checkpoints(killed) <= saved:
                time.sleep(0.005)
            try:
                assert process.wait(rng.uniform(0, 0.3) if kills < kills_max else None) == 0
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                log.info("kill %d", kills)
        names = [list_versions(place / "registry", "toy") for place in (whole, killed)]
    same = len(names[0]) == 1 and names[0][0].split("-")[1] == names[1][0].split("-")[1]
    return Found(
        {"kills": kills, "versions": len(names[1]), "same_bytes": float(same)},
        {"kills": 1, "versions": 1, "same_bytes": 1},
        kills >= 1 and same and len(names[1]) == 1,
    )


if __name__ == "__main__":
    run_drill("kill", drill)
