"""Jobs as processes, in a folder of their own, on text of the toy grammar."""

import json
import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from textvae.corpus.toy_grammar import sample

ROOT = Path(__file__).parent.parent
MODEL = "toy"
LIMIT_S = 120
SLOW_TO_IMPORT = (
    "torch torch._dynamo numpy scipy.special scipy.stats sklearn.mixture safetensors.torch "
    "sentencepiece tyro rich.console filelock sacrebleu threadpoolctl matplotlib.figure "
    "matplotlib.backends.backend_svg"
)
CONFIG = """
[store]
model = "toy"
[data]
inputs = ["inbox"]
valid_share = 0.1
test_share = 0.1
[tokenizer]
vocab = 600
kind = "bpe"
[model]
embed = 16
hidden = 24
latent = 4
[training]
steps = 20
language_model_steps = 10
batch = 64
kl_steps = 10
validation_steps = 10
collapse_stops = false
[evaluation]
sentences = 30
importance_samples = 2
prior_draws = 10
prior_sentences = 100
prior_components = 1
"""

# So little is learned in a second only where the decoder sees no words; no floor asks for more.
_LEARNING = """learning_rate = 1.5e-2
warmup_steps = 5
word_dropout = 1.0
word_noise = 0.0
target_kl_nats = 0.0
start = "fresh"
"""
NIGHTLY_CONFIG = (
    CONFIG.replace("steps = 20\n", "steps = 120\n" + _LEARNING, 1)
    .replace("batch = 64", "batch = 32")
    .replace("kl_steps = 10", "kl_steps = 100000")
    .replace("validation_steps = 10", "validation_steps = 0")
    + """
[gate]
kl_nats_min = -1e9
informed_share_min = -1e9
shuffle_nats_min = -1e9
distinct_min = -1e9
worse_share_max = 1e9
champion_days_max = 0.0
[night]
ask_server = false
"""
)
"""A nightly run of some seconds whose version is promoted."""


class Ended(NamedTuple):
    """A process that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def line(self) -> dict[str, Any]:
        """A job's JSON line, which must be all that stands on stdout."""
        assert self.stdout.count("\n") == 1, self.stdout + self.stderr
        line: dict[str, Any] = json.loads(self.stdout)
        assert line["exit_code"] == self.code
        return line


def prepared(folder: Path, config: str = CONFIG) -> Path:
    """The folder, with settings and 600 sentences to ingest."""
    (folder / "inbox").mkdir(parents=True)
    (folder / "toy.toml").write_text(config)
    texts = [row.text for row in sample(600, seed=0)]
    (folder / "inbox" / "toy.txt").write_text("\n".join(texts) + "\n")
    return folder


def ran(folder: Path, module: str, *flags: str) -> Ended:
    """A module, run in `folder` until it ended, as a process of its own.

    The process is a fork of one that has imported what is slow to import and nothing of ours, for
    most of a job of seconds would be these imports.
    """
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(SLOW_TO_IMPORT.split())
    with tempfile.TemporaryDirectory() as written:
        paths = [str(Path(written, name)) for name in ("stdout", "stderr")]
        process = forks.Process(target=_run, args=(str(folder), module, flags, paths))
        process.start()
        process.join(LIMIT_S)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{module} did not end within {LIMIT_S} s")
        said = [Path(path).read_text() for path in paths]
        return Ended(process.exitcode, *said)


def _run(folder: str, module: str, flags: tuple[str, ...], paths: list[str]) -> None:
    """Become the module: its folder, its arguments, and files for what it prints."""
    import torch

    for number, path in enumerate(paths, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    sys.argv = [module, *flags]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def ran_job(folder: Path, job: str, *flags: str) -> Ended:
    """A job with the folder's settings; its line is also its result.json, without a traceback."""
    ended = ran(folder, f"jobs.{job}", "--config", "toy.toml", *flags)
    assert "Traceback" not in ended.stderr, ended.stderr
    line = ended.line
    assert line["job"] == job
    assert json.loads((folder / "runs" / job / "result.json").read_bytes()) == line
    return ended
