"""What the gate said of a version, by the number of the promotion in force then.

Each decision is an attachment `gate-000124-3f9a1c2b`. Once a version is pruned its decisions stand
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
"""By promotion; 0 where nobody served. More than one where the gate was asked again."""


def attach_decision(
    registry: Path, version: Version, promotion: int, record: Mapping[str, Any]
) -> None:
    """Keeps what the gate said; the same words twice are kept once."""
    content = files.canonical_json(record)
    digest = hashlib.sha256(content).hexdigest()
    attach(registry, version, f"gate-{promotion:06d}-{digest[:8]}", {_FILE: content})


def read_decisions(registry: Path, version: Version, promotion: int | None = None) -> Decisions:
    """All that the gate said of a version, or what it said against one promotion's champion.

    CorruptError names a decision that is not what it was.
    """
    found: Decisions = {}
    for name in list_attachments(registry, version):
        kind, _, rest = name.partition("-")
        if kind != "gate":
            continue
        number = int(rest.partition("-")[0])
        if promotion in (None, number):
            attached = read_attachment(registry, version, name) or {}
            found.setdefault(number, []).append(json.loads(attached[_FILE]))
    return found


def pruned_decisions(registry: Path, model: str) -> dict[str, Decisions]:
    """What the gate had said of each version that a prune removed, by its name."""
    folder = model_folder(registry, model) / "pruned"
    found = {}
    for path in sorted(folder.glob("[0-9]*.json")):
        said = json.loads(path.read_bytes()).get("decisions", {})
        found[path.stem] = {int(number): records for number, records in said.items()}
    return found
