"""Tombstones: hashes of the forgotten sentences, and which spans replace which.

`spans/forgotten/000001-5d41402abc4b.json` is written once, after the new spans and before the old
ones are removed: with it the forget has happened, without it nothing has.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.errors import CorruptError

TOMBSTONES = "forgotten"
TOMBSTONE_NAME = re.compile(r"\d{6}-[0-9a-f]{12}\.json")


class Successor(NamedTuple):
    """The span that replaces another."""

    name: str
    erased: dict[str, int]
    """Erased sentences, by side; all 0 where only quarantined text was erased."""


class Tombstones(NamedTuple):
    """All tombstones of a corpus."""

    names: tuple[str, ...]
    sentences: frozenset[str]
    """The hash of every forgotten sentence."""
    successors: dict[str, Successor]
    """By the name of the replaced span."""

    def newest(self, name: str) -> str:
        """Return the last successor of this span; itself where nothing replaced it."""
        while name in self.successors:
            name = self.successors[name].name
        return name


def sentence_hash(text: str) -> str:
    """Return the hash that a tombstone stores for a normalised sentence."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def tombstone_names(spans: Path) -> tuple[str, ...]:
    """Return the names of all tombstones next to the spans, oldest first."""
    folder = spans / TOMBSTONES
    entries = folder.iterdir() if folder.is_dir() else ()
    return tuple(sorted(e.name for e in entries if TOMBSTONE_NAME.fullmatch(e.name)))


def read_tombstones(spans: Path) -> Tombstones:
    """Read the tombstones next to the spans; CorruptError for one that its name does not match."""
    folder, names = spans / TOMBSTONES, tombstone_names(spans)
    sentences: set[str] = set()
    successors: dict[str, Successor] = {}
    for name in names:
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest()[:12] != name[7:19]:
            raise CorruptError(
                f"{folder / name}: holds other bytes than its name says; put it back from a copy, "
                "or what it forgot may come back"
            )
        record = json.loads(data)
        sentences.update(record["sentences"])
        successors.update({old: Successor(**new) for old, new in record["replaced"].items()})
    return Tombstones(names, frozenset(sentences), successors)


def write_tombstone(
    spans: Path, sentences: frozenset[str], replaced: Mapping[str, Successor]
) -> str:
    """Write a tombstone, complete or not at all, and return its name.

    The caller holds the spans' lock.
    """
    names = tombstone_names(spans)
    record: dict[str, Any] = {
        "format": 1,
        "sentences": sorted(sentences),
        "replaced": {old: new._asdict() for old, new in replaced.items()},
    }
    data = files.canonical_json(record)
    number = int(names[-1][:6]) + 1 if names else 1
    name = f"{number:06d}-{hashlib.sha256(data).hexdigest()[:12]}.json"
    files.write_bytes(spans / TOMBSTONES / name, data)
    return name
