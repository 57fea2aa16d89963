"""Old runs go, and what kills left; and the job that does it."""

import os
import time
from pathlib import Path

import pytest

from jobs.prune import Prune, main
from textvae import files, locks
from textvae.config.data import StoreConfig
from textvae.config.prune import PruneConfig
from textvae.errors import InputError
from textvae.store.prune import prune_runs
from textvae.store.versions import list_versions, publish

NOW_S = 1_763_856_000.0
DAY_S = 86_400.0


def old_run(runs: Path, name: str, days: float) -> Path:
    """A run that was last written to so many days before NOW_S."""
    checkpoint = runs / name / "checkpoints" / "vae" / "00000020" / "state.json"
    files.write_bytes(checkpoint, b"{}")
    files.write_bytes(runs / name / "lock", b"")
    os.utime(checkpoint, (NOW_S - days * DAY_S,) * 2)
    return runs / name


def test_runs_go_unless_they_are_young_or_at_work(tmp_path: Path) -> None:
    old, young, held = (
        old_run(tmp_path, name * 12, days) for name, days in (("a", 8), ("b", 6), ("c", 8))
    )
    (tmp_path / "nightly").mkdir()
    with locks.hold_lock(held / "lock", "train"):
        fates = prune_runs(tmp_path, PruneConfig(runs_days=7), NOW_S)
        assert [(fate.name, fate.goes) for fate in fates] == [
            (old.name, True),
            (young.name, False),
            (held.name, False),
        ]
        assert fates[1].why == "was written to 6.0 days ago, all stay for 7"
        assert fates[2].why.startswith("is at work: train (pid ")
    assert sorted(os.listdir(tmp_path)) == [young.name, held.name, "nightly"]


def test_what_kills_left_goes_after_a_day(tmp_path: Path) -> None:
    """Wherever it lies; what somebody may still be writing stays."""
    store = StoreConfig(tmp_path / "registry", "toy", tmp_path / "spans", tmp_path / "runs")
    hidden = [
        folder / f".{name}.unfinished"
        for folder in (store.registry / "toy" / "versions", store.spans, store.runs / "ab")
        for name in ("old", "young")
    ]
    for path in hidden:
        files.write_bytes(path / "model.safetensors", b"half")
        days = 1.1 if path.name == ".old.unfinished" else 0.9
        os.utime(path, (time.time() - days * DAY_S,) * 2)
    old, young = hidden[::2], hidden[1::2]
    would = main(Prune(dry_run=True, store=store))
    assert (would["outcome"], would["left"]) == ("would_prune", [str(path) for path in old])
    assert main(Prune(store=store))["outcome"] == "pruned"
    assert [path for path in hidden if path.exists()] == young
    assert main(Prune(store=store))["outcome"] == "up_to_date"


def test_the_job_says_what_it_would_do_and_does_it(tmp_path: Path) -> None:
    store = StoreConfig(tmp_path, "toy", tmp_path / "spans", tmp_path / "runs")
    keep, old = (publish(tmp_path, "toy", "20200101", {"w": b"%d" % n}, {"n": n}) for n in (1, 2))
    for version in (keep, old):
        os.utime(version.folder, (0, 0))
    for outcome in ("pinned", "up_to_date"):
        assert main(Prune(pin=keep.name, store=store))["outcome"] == outcome
    would = main(Prune(dry_run=True, store=store))
    assert (would["outcome"], list(would["versions"]["removed"])) == ("would_prune", [old.name])
    assert would["versions"]["kept"] == {keep.name: "is pinned"}
    assert main(Prune(store=store)) == {**would, "outcome": "pruned"}
    assert list_versions(tmp_path, "toy") == [keep.name]
    assert main(Prune(store=store))["outcome"] == "up_to_date"
    assert main(Prune(unpin=keep.name, store=store))["outcome"] == "unpinned"
    with pytest.raises(InputError, match=f"{keep.name} is not pinned; there are: none"):
        main(Prune(unpin=keep.name, store=store))
    assert main(Prune(store=store))["outcome"] == "pruned"
