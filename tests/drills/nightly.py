"""`python -m tests.drills.nightly`: three runs next to a server that fails no call."""

import json
import logging
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.drills.line import Found, run_drill
from textvae import files
from textvae.client import Client
from textvae.corpus.toy_grammar import sample

log = logging.getLogger(__name__)

CONFIG = """
[store]
registry = "{root}/registry"
spans = "{root}/spans"
runs = "{root}/runs"
model = "toy"
[data]
inputs = ["{root}/inbox"]
valid_share = 0.1
test_share = 0.1
[tokenizer]
vocab = 600
kind = "bpe"
[model]
embed = 48
hidden = 64
latent = 8
dropout = 0.0
[training]
steps = {steps}
language_model_steps = {language_model_steps}
batch = 64
learning_rate = 5e-3
kl_steps = 100
target_kl_nats = 6.0
precision = "fp32"
[evaluation]
sentences = 200
importance_samples = 5
prior_draws = 50
prior_sentences = 1000
prior_components = 2
# A run of seconds learns little; what is proved here is the chain and not the model.
[gate]
informed_share_min = -100.0
distinct_min = 0.02
shuffle_nats_min = 1.0
kl_nats_min = 0.5
worse_share_max = 0.2
champion_days_max = 0.0
"""


class Callers:
    """A client that samples twenty times a second, and remembers what answered and what failed."""

    def __init__(self, address: str) -> None:
        self.versions: list[str] = []
        self.failures: list[str] = []
        self._address = address
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        with Client(self._address) as client:
            while not self._ended.is_set():
                try:
                    self.versions.append(client.sample(2).facts.version)
                except Exception as error:  # whatever it is, it is a failed call
                    self.failures.append(repr(error))
                # A pause leaves the nightly run its half of the machine.
                time.sleep(0.05)

    def end(self) -> None:
        """Stop calling."""
        self._ended.set()
        self._thread.join()


def run_job(root: Path, job: str = "nightly") -> dict[str, Any]:
    """The result of one nightly run, or of another job on the same settings."""
    command = [sys.executable, "-m", f"jobs.{job}", "--config", str(root / "nightly.toml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    log.info("%s: %s %s", job, result["outcome"], result.get("reasons", ""))
    return result


def tree(root: Path) -> dict[str, int]:
    """Every file of the registry and the corpus with the time it was written."""
    folders = (root / "registry", root / "spans")
    return {
        str(path): path.stat().st_mtime_ns
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and ".lock" not in path.name
    }


def drill(quick: bool) -> Found:
    """First version, server up; second version under load; a third run without new text; a
    rollback, which the fourth run respects."""
    steps = 300 if quick else 1200
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = CONFIG.format(root=root, steps=steps, language_model_steps=steps // 6)
        files.write_text(root / "nightly.toml", settings)
        text = [row.text for row in sample(6000, seed=0)]
        files.write_lines(root / "inbox" / "monday.txt", text[:4000])
        first = run_job(root)
        command = [sys.executable, "-m", "textvae.serve", "--registry", str(root / "registry")]
        command += ["--model", "toy", "--port", "0", "--poll-s", "0.2", "--threads", "1"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = next(word for word in server.stdout.readline().split() if ":" in word)
            callers = Callers(address)
            files.write_lines(root / "inbox" / "tuesday.txt", text[4000:])
            second = run_job(root)
            until_s = time.monotonic() + 20
            while callers.versions[-1] != second["promotion"]["version"]:
                assert time.monotonic() < until_s, "the second version does not serve"
                time.sleep(0.1)
            before = tree(root)
            third = run_job(root)
            unchanged = tree(root) == before
            callers.end()
            run_job(root, "rollback")
            fourth = run_job(root)
        finally:
            server.terminate()
            server.wait(30)
    return judged(callers, (first, second, third, fourth), unchanged)


def judged(callers: Callers, runs: tuple[dict[str, Any], ...], unchanged: bool) -> Found:
    """What the callers saw of the four runs."""
    served = list(dict.fromkeys(callers.versions))
    wanted = [run["promotion"]["version"] for run in runs[:2]]
    outcomes = [run["outcome"] for run in runs]
    held = (
        outcomes == ["promoted", "promoted", "up_to_date", "up_to_date"]
        and served == wanted
        and not callers.failures
        and unchanged
    )
    for failure in callers.failures[:3]:
        log.error("a call failed: %s", failure)
    figures = {
        "calls": len(callers.versions),
        "failed_calls": len(callers.failures),
        "versions_served": len(served),
        "third_night_changed_nothing": float(unchanged and outcomes[2] == "up_to_date"),
        "rollback_stays": float(outcomes[3] == "up_to_date"),
    }
    targets = {
        "failed_calls": 0,
        "versions_served": 2,
        "third_night_changed_nothing": 1,
        "rollback_stays": 1,
    }
    return Found(figures, targets, held)


if __name__ == "__main__":
    run_drill("nightly", drill)
