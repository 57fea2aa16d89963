"""`python -m jobs.prune`: removes versions and runs that are no longer needed."""

import logging
import time
from dataclasses import dataclass
from typing import Any

from textvae.config.data import StoreConfig
from textvae.config.prune import PruneConfig
from textvae.files import sweep
from textvae.store.choice import WORDS, choose_version
from textvae.store.pins import pin, unpin
from textvae.store.prune import (
    Fate,
    leftovers,
    prune_runs,
    prune_versions,
    run_fates,
    version_fates,
)

from .command import actor, run_job, utc_now

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prune:
    """Removes old versions with their attachments, old training runs, and what kills left.

    The champion, the versions that served last and their parents, young and pinned versions, those
    that a server has loaded, and active runs are not removed.
    """

    dry_run: bool = False
    """List what would be removed and why the rest is kept; change nothing."""
    pin: str = ""
    """Keep this version (its name, champion or newest) until it is unpinned; nothing is removed by
    this call."""
    unpin: str = ""
    """Unpin this version; nothing is removed by this call."""
    reason: str = "by hand"
    """Why it is pinned; stored with the pin."""
    prune: PruneConfig = PruneConfig()
    store: StoreConfig = StoreConfig()


def main(settings: Prune) -> dict[str, Any]:
    """Return outcome `pruned`, `would_prune`, `pinned` or `unpinned`; `up_to_date` for none."""
    store = settings.store
    model = (store.registry, store.model)
    if settings.pin:
        name = choose_version(*model, settings.pin).name
        new = pin(*model, name, reason=settings.reason, actor=actor(), at=utc_now())
        return {"outcome": "pinned" if new else "up_to_date", "version": name}
    if settings.unpin:
        name = settings.unpin
        if name in WORDS:
            name = choose_version(*model, name).name
        unpin(*model, name)
        return {"outcome": "unpinned", "version": name}
    now_s = time.time()
    left = [
        path
        for folder in (store.registry, store.spans, store.runs)
        for path in leftovers(folder, now_s)
    ]
    if settings.dry_run:
        versions = version_fates(*model, settings.prune, now_s)
        runs = run_fates(store.runs, settings.prune, now_s)
    else:
        versions = prune_versions(*model, settings.prune, now_s, utc_now())
        runs = prune_runs(store.runs, settings.prune, now_s)
        for path in left:
            sweep(path)
    result = {
        "versions": _fates_by_name(versions, settings),
        "runs": _fates_by_name(runs, settings),
        "left": [str(path) for path in left],
    }
    if not left and not any(fate.goes for fate in (*versions, *runs)):
        return {"outcome": "up_to_date", **result}
    return {"outcome": "would_prune" if settings.dry_run else "pruned", **result}


def _fates_by_name(fates: list[Fate], settings: Prune) -> dict[str, dict[str, str]]:
    """Return what is removed and what is kept, each with the reason, and log it."""
    goes = "would go" if settings.dry_run else "went"
    for fate in fates:
        log.info("%s %s: %s", fate.name, goes if fate.goes else "stays", fate.why)
    return {
        "removed": {fate.name: fate.why for fate in fates if fate.goes},
        "kept": {fate.name: fate.why for fate in fates if not fate.goes},
    }


if __name__ == "__main__":
    run_job("prune", Prune, main)
