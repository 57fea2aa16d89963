"""Several processes that learn one model together, started as torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.job_runs import MODEL, ROOT, Ended, prepared, ran, ran_job
from textvae.errors import InputError
from textvae.text.batches import Batches, store_tokens
from textvae.training.ranks import Ranks, join_ranks

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
QUIET = ("--model.dropout", "0", "--training.word-noise", "0", "--training.word-dropout", "0")
# Batches of five are shared as three and two.
FAST = ("--training.batch", "5", "--training.learning-rate", "0.02", "--training.warmup-steps", "0")
# Products in bf16 would round the shares of a batch differently from the batch.
EXACT = (*QUIET, *FAST, "--training.objective", "autoencoder", "--training.precision", "fp32")


def train_by_two(folder: Path, *flags: str) -> Ended:
    """`jobs.train` by two processes."""
    return ran(folder, *TORCHRUN, "jobs.train", "--config", "toy.toml", *flags)


def children(parent: int) -> list[int]:
    """The processes that this one started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True)
    pairs = [line.split() for line in listed.stdout.splitlines()]
    return [int(child) for child, of in pairs if int(of) == parent]


def weights(folder: Path, version: str) -> dict[str, torch.Tensor]:
    """The VAE's weights of a version."""
    path = folder / "registry" / MODEL / "versions" / version
    return load_file(path / "model.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ingested text."""
    ran_job(prepared(tmp_path / "text"), "ingest")
    return tmp_path / "text"


def test_two_processes_make_one_version_and_say_one_line(folder: Path) -> None:
    ended = train_by_two(folder)
    assert ended.code == 0, ended.stderr
    assert ended.line["outcome"] == "trained"
    versions = folder / "registry" / MODEL / "versions"
    assert [path.name for path in versions.iterdir()] == [ended.line["version"]]
    manifest = json.loads((versions / ended.line["version"] / "manifest.json").read_bytes())
    assert manifest["world_size"] == 2


def test_two_processes_make_the_same_version_every_time_and_after_a_kill(folder: Path) -> None:
    uninterrupted = train_by_two(folder).line["version"]
    files = sorted(folder.rglob("runs/*/metrics.jsonl"))
    assert len(files) == 1, "one process writes"
    (folder / "registry").rename(folder / "registry-before")
    (folder / "runs").rename(folder / "runs-before")
    command = [sys.executable, "-m", *TORCHRUN, "jobs.train", "--config", "toy.toml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    slow = [*command, "--training.checkpoint-s", "0.01"]
    with subprocess.Popen(slow, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not list(folder.glob("runs/*/checkpoints/vae/0*")):
            assert time.monotonic() < until, "no checkpoint within a minute"
            assert process.poll() is None, "ended before it was killed"
            time.sleep(0.02)
        for each in (process.pid, *children(process.pid)):
            os.kill(each, signal.SIGKILL)
    again = train_by_two(folder, "--training.checkpoint-s", "0.01")
    assert "begins at step 0 of 20" not in again.stderr, "nothing was left to resume from"
    first = folder / "registry-before" / MODEL / "versions" / uninterrupted / "model.safetensors"
    version = again.line["version"]
    second = folder / "registry" / MODEL / "versions" / version / "model.safetensors"
    assert first.read_bytes() == second.read_bytes()


def test_two_processes_learn_what_one_learns(folder: Path) -> None:
    """Without noise their steps are those of whole batches, but for the last bits."""
    together = weights(folder, train_by_two(folder, *EXACT).line["version"])
    alone = weights(folder, ran_job(folder, "train", *EXACT).line["version"])
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-3, atol=1e-4)


def test_the_shares_of_all_ranks_are_the_batch() -> None:
    batch = Batches(store_tokens([[5] * (n % 7 + 1) for n in range(50)], 9).store, 11, 0).at(0, 0)
    shares = [Ranks(number, 3).share_of(batch) for number in range(3)]
    assert sorted(row for share in shares for row in share.rows) == sorted(batch.rows)
    assert max(len(share.rows) for share in shares) - min(len(share.rows) for share in shares) <= 1
    with pytest.raises(InputError, match=r"training\.batch: must give each process one"):
        Ranks(0, 12).share_of(batch)


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_ranks("cpu") as ranks:
        assert (ranks.first, ranks.world) == (True, 1)
        assert ranks.any(True, False) == (True, False)
        model: Any = nn.Linear(2, 1)
        model(torch.ones(1, 2)).sum().backward()
        before = model.weight.grad.clone()
        ranks.average(model, 1.0)
        assert torch.equal(model.weight.grad, before)
