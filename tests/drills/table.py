"""`python -m tests.drills.table`: a quality table killed again and again ends with the same bytes.

The undisturbed table is made by one process, the killed one by two workers: neither the kills nor
the number of workers may show.
"""

import logging
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.drills.line import Found, run_drill
from textvae import files
from textvae.corpus.toy_grammar import sample

log = logging.getLogger(__name__)

SETTINGS = (
    "--sentences 1200 --dropouts 0.1 0.3 --vocab 300 --embed 24 --hidden 32 --latent 6 --batch 64 "
    "--threads 1 --checkpoint-s 0.05 --evaluation.sentences 40 --evaluation.importance-samples 3 "
    "--evaluation.prior-draws 10 --evaluation.prior-sentences 100 --evaluation.path-pairs 3 "
    "--evaluation.prior-components 1"
)
QUICK = "--rows plain --seeds 0 --steps 80 --language-model-steps 40"
LONG = "--rows plain lm edit --seeds 0 1 --steps 120 --language-model-steps 80"
KILL_WITHIN_S = 1.0
CHECKPOINTS = ("checkpoints/*/[0-9]*",)
MADE = (*CHECKPOINTS, "weights.safetensors", "row.json")
WORKER_BEGINS = re.compile(r"worker-\d+ .*: begins$", re.MULTILINE)
BEGINS = re.compile(r": begins at step (\d+) of (\d+)")


def job(root: Path, text: Path, rows: str, workers: int) -> list[str]:
    """The command of a table in a folder of its own."""
    flags = f"{SETTINGS} {rows} --workers {workers} --corpora {text} --folder {root}"
    result = ["--result", str(root / "result.json")]
    return [sys.executable, "-m", "jobs.table", *flags.split(), *result]


def made(root: Path, kinds: Sequence[str]) -> set[Path]:
    """What workers have written down until now, to go on with."""
    return {path for kind in kinds for path in root.glob(f"toy/*/*/{kind}")}


def killed_table(root: Path, text: Path, rows: str, kills: int) -> tuple[int, int]:
    """Kills the table, then lets it end; kills, and trainings gone on with.

    The first kill follows a checkpoint at once, for however fast the machine is, a training is then
    in its middle; the others come at random moments.
    """
    rng = random.Random(0)
    log_path = root / "log.txt"
    log_path.touch()
    done = 0
    while True:
        kinds = MADE if done else CHECKPOINTS
        before, counted = made(root, kinds), len(WORKER_BEGINS.findall(log_path.read_text()))
        with open(log_path, "a") as stream:
            process = subprocess.Popen(job(root, text, rows, 2), stdout=stream, stderr=stream)
        # So every kill meets a worker at its task, and every try comes a little further.
        while process.poll() is None and (
            len(WORKER_BEGINS.findall(log_path.read_text())) <= counted
            or made(root, kinds) <= before
        ):
            time.sleep(0.01)
        try:
            moment_s = rng.uniform(0, KILL_WITHIN_S) if done else 0.0
            code = process.wait(moment_s if done < kills else None)
            assert code == 0, log_path.read_text()[-3000:]
            break
        except subprocess.TimeoutExpired:
            # The table alone: that its workers end with it is a part of what is proved.
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1
            log.info("kill %d", done)
    begins = [(int(step), int(steps)) for step, steps in BEGINS.findall(log_path.read_text())]
    return done, sum(0 < step < steps for step, steps in begins)


def drill(quick: bool) -> Found:
    """One table left alone and one killed, of the same settings."""
    rows, kills = (QUICK, 1) if quick else (LONG, 5)
    with tempfile.TemporaryDirectory() as folder:
        text, whole, killed = (Path(folder) / name for name in ("toy.txt", "whole", "killed"))
        files.write_lines(text, [row.text for row in sample(2500, seed=0)])
        for root in (whole, killed):
            root.mkdir()
        subprocess.run(job(whole, text, rows, 1), check=True, capture_output=True)
        log.info("the undisturbed table is made")
        done, resumed = killed_table(killed, text, rows, kills)
        same = {
            name: (whole / name).read_bytes() == (killed / name).read_bytes()
            for name in ("table.json", "table.md")
        }
        print((killed / "table.md").read_text(), file=sys.stderr)
    return Found(
        {"kills": done, "resumed": resumed, "same_files": sum(same.values())},
        {"kills": kills, "resumed": 1, "same_files": 2},
        done == kills and resumed >= 1 and all(same.values()),
    )


if __name__ == "__main__":
    run_drill("table", drill)
