"""Gate decisions about a version, by the number of the promotion in force at that time.

Each decision is an attachment `gate-000124-3f9a1c2b`. After a version is pruned its decisions are
in `registry/<model>/pruned/<version>.json`, so that every promotion stays explained.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textvae import files
from textvae.store.attachments import attach, list_attachments, read_attachment
from textvae.store.versions import Version, model_folder

_FILE = "decision.json"

Decisions = dict[int, list[dict[str, Any]]]
"""By promotion; 0 where no version served. More than one where the gate decided again."""


def attach_decision(
    registry: Path, version: Version, promotion: int, record: Mapping[str, Any]
) -> None:
    """Attach a decision of the gate; an equal one is attached once."""
    content = files.canonical_json(record)
    digest = hashlib.sha256(content).hexdigest()
    attach(registry, version, f"gate-{promotion:06d}-{digest[:8]}", {_FILE: content})


def read_decisions(registry: Path, version: Version, promotion: int | None = None) -> Decisions:
    """Return all decisions about a version, or those against one promotion's champion.

    Raises CorruptError, which names a damaged decision.
    """
    decisions: Decisions = {}
    for name in list_attachments(registry, version):
        kind, _, rest = name.partition("-")
        if kind != "gate":
            continue
        number = int(rest.partition("-")[0])
        if promotion in (None, number):
            attached = read_attachment(registry, version, name) or {}
            decisions.setdefault(number, []).append(json.loads(attached[_FILE]))
    return decisions


def pruned_decisions(registry: Path, model: str) -> dict[str, Decisions]:
    """Return the decisions about each version that a prune removed, by its name."""
    folder = model_folder(registry, model) / "pruned"
    removed = {}
    for path in sorted(folder.glob("[0-9]*.json")):
        decisions = json.loads(path.read_bytes()).get("decisions", {})
        removed[path.stem] = {int(number): records for number, records in decisions.items()}
    return removed
