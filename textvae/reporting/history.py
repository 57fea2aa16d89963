"""The history of a model: its promotions and, between them, the versions that were rejected."""

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
"""How many promotions a history has at most, the newest; rejections among them are extra."""
GATE = "the gate"


class HistoryEntry(NamedTuple):
    """A promotion, or a rejection."""

    number: int
    """Of the promotion; of a rejection, of the promotion in force at the time."""
    rejected: bool
    version: str
    at: str
    """When, in UTC; empty where an old decision does not say."""
    actor: str
    reason: str


def read_history(
    registry: Path, model: str, promotions_max: int = PROMOTIONS_MAX
) -> list[HistoryEntry]:
    """Return the entries, newest first: each promotion after the rejections while it was in force.

    A version is rejected where the gate never accepted it against that champion; pruned versions
    are included. Raises CorruptError where the log of promotions is damaged.
    """
    promotions = promotion_history(registry, model)
    first = max(len(promotions) - promotions_max, 0)
    promoted = [
        HistoryEntry(one.number, False, one.version, one.at, one.actor, one.reason)
        for one in promotions[first:]
    ]
    rejected = [one for one in _rejected_entries(registry, model) if one.number >= first]
    # Of equal numbers the promotion is the older.
    return sorted(
        [*promoted, *rejected], key=lambda one: (one.number, one.rejected, one.at), reverse=True
    )


def _rejected_entries(registry: Path, model: str) -> Iterator[HistoryEntry]:
    """Yield each rejected version, once for each champion that it was compared with; damaged
    versions and decisions are skipped with a warning."""
    decisions_by_version = pruned_decisions(registry, model)
    for name in list_versions(registry, model):
        folder = model_folder(registry, model) / "versions" / name
        try:
            # Weights are not verified: the decisions alone are read.
            version = Version(model, name, folder, *read_manifest(folder))
            decisions_by_version[name] = read_decisions(registry, version)
        except CorruptError as error:
            log.warning("not in the history: %s", error)
    for name, decisions in sorted(decisions_by_version.items()):
        for number, records in sorted(decisions.items()):
            if all(one["decision"] == "rejected" for one in records):
                last = max(records, key=lambda one: str(one.get("at", "")))
                reason = "; ".join(last["reasons"])
                yield HistoryEntry(number, True, name, str(last.get("at", "")), GATE, reason)
