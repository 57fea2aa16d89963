"""`python -m jobs.fsck`: checks everything on the disk, or trains a version once more."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from textvae.config.data import StoreConfig
from textvae.corpus.spans import list_spans
from textvae.errors import CorruptError
from textvae.files import sweep
from textvae.store.check import Finding, check_registry, check_spans, damaged_checkpoints
from textvae.store.choice import choose_version
from textvae.store.prune import leftovers
from textvae.store.versions import list_models, list_versions

from .command import run_job

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fsck:
    """Reads every byte of registry, spans and checkpoints, and reports in words what is wrong.

    With --rebuild it trains a version once more from what its manifest names, and compares.
    """

    repair: bool = False
    """Repair what can be derived from intact files; remove what kills left over a day ago."""
    rebuild: str = ""
    """Version to train again (its name, champion or newest), in a run of its own that is removed;
    nothing is published."""
    rebuild_anyway: bool = False
    """Train it again although torch, textvae or the arithmetic differ from those it was made by."""
    store: StoreConfig = StoreConfig()


def main(settings: Fsck) -> dict[str, Any]:
    """Return outcome `sound` or `damaged`, or `rebuilt_equal` or `rebuilt_different`.

    Damage, and a difference, end with exit code 66.
    """
    if settings.rebuild:
        return _rebuild(settings)
    store = settings.store
    left, repaired = [], []
    for finding in _findings(store):
        log.warning("%s", finding.problem)
        if settings.repair and finding.repair:
            finding.repair()
            repaired.append(finding.problem)
        else:
            left.append(finding.problem)
    models = list_models(store.registry)
    checked = {
        "versions": sum(len(list_versions(store.registry, model)) for model in models),
        "spans": len(list_spans(store.spans)),
    }
    result = {"findings": left, "repaired": repaired, "checked": checked}
    if left:
        return {"outcome": "damaged", "exit_code": CorruptError.exit_code, **result}
    return {"outcome": "sound", **result}


def _findings(store: StoreConfig) -> Iterator[Finding]:
    """Yield everything that is wrong."""
    yield from check_registry(store.registry)
    yield from check_spans(store.spans)
    for path in damaged_checkpoints(store.runs):
        yield Finding(f"{path}: is damaged; remove it, the run goes on from the one before it")
    for folder in (store.registry, store.spans, store.runs):
        for path in leftovers(folder, time.time()):
            problem = (
                f"{path}: was left by a process that was killed; --repair or a prune removes it"
            )
            yield Finding(problem, partial(sweep, path))


def _rebuild(settings: Fsck) -> dict[str, Any]:
    """Train a version once more and compare the two."""
    # A check of the disk needs no torch, which takes seconds to import.
    from textvae.model.devices import check_device
    from textvae.release.reproduce import device_of, rebuild
    from textvae.training.ranks import join_ranks

    from .progress import show_progress

    store, anyway = settings.store, settings.rebuild_anyway
    version = choose_version(store.registry, store.model, settings.rebuild)
    device = device_of(version)
    check_device("rebuild", device)
    with join_ranks(device), show_progress() as on_progress:
        different = rebuild(version, store.spans, store.runs, on_progress, anyway=anyway)
    for words in different:
        log.warning("%s", words)
    result = {"version": version.name, "differences": different}
    if different:
        return {"outcome": "rebuilt_different", "exit_code": CorruptError.exit_code, **result}
    return {"outcome": "rebuilt_equal", **result}


if __name__ == "__main__":
    run_job("fsck", Fsck, main)
