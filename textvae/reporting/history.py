"""What came to serve and what was turned away, in its order: the champion's history as a table."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from textvae.errors import CorruptError
from textvae.sealed import read_manifest
from textvae.store.decisions import pruned_decisions, read_decisions
from textvae.store.promotions import promotion_history
from textvae.store.versions import Version, list_versions, model_folder

log = logging.getLogger(__name__)

PROMOTIONS_MAX = 100
"""The newest so many promotions are told, with what was rejected beside them."""
GATE = "the gate"


class HistoryEntry(NamedTuple):
    """A version that came to serve, or that was turned away."""

    number: int
    """Of the promotion; of a rejected version, of the one that it was judged against."""
    rejected: bool
    version: str
    at: str
    """When, in UTC; empty where an old decision does not say."""
    actor: str
    reason: str


def timeline(
    registry: Path, model: str, promotions_max: int = PROMOTIONS_MAX
) -> list[HistoryEntry]:
    """Newest first: each promotion, and before it those that were rejected while it was in force.

    A version is rejected where the gate never said yes against that champion; pruned ones are told
    too. CorruptError where the log of promotions is damaged.
    """
    promotions = promotion_history(registry, model)
    first = max(len(promotions) - promotions_max, 0)
    served = [
        HistoryEntry(one.number, False, one.version, one.at, one.actor, one.reason)
        for one in promotions[first:]
    ]
    rejected = [one for one in _rejected_entries(registry, model) if one.number >= first]
    # Both in their own order; of equal numbers the promotion is the older.
    return sorted(
        [*served, *rejected], key=lambda one: (one.number, one.rejected, one.at), reverse=True
    )


def _rejected_entries(registry: Path, model: str) -> Iterator[HistoryEntry]:
    """The versions that the gate said no to, once for each champion that they were judged against;
    what is damaged is passed over and named in the log."""
    known = pruned_decisions(registry, model)
    for name in list_versions(registry, model):
        folder = model_folder(registry, model) / "versions" / name
        try:
            # Its weights are not looked at: only what was said of it is told.
            version = Version(model, name, folder, *read_manifest(folder))
            known[name] = read_decisions(registry, version)
        except CorruptError as error:
            log.warning("not in the timeline: %s", error)
    for name, decisions in sorted(known.items()):
        for number, said in sorted(decisions.items()):
            if all(one["decision"] == "rejected" for one in said):
                last = max(said, key=lambda one: str(one.get("at", "")))
                reason = "; ".join(last["reasons"])
                yield HistoryEntry(number, True, name, str(last.get("at", "")), GATE, reason)
