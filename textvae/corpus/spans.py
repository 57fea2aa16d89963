"""Spans: the corpus as a row of immutable folders, one an ingest.

`spans/000001-3f9a1c2b77d0/` holds train.jsonl, valid.jsonl, test.jsonl, report.json and
manifest.json, and quarantine.jsonl where something was broken; the name is a running number and the
first 12 hex digits of the manifest's SHA-256. Nothing is parsed before its bytes are what the
manifest says. A forget puts a span of the same number in another's place; the tombstones say which.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from textvae import files
from textvae.corpus.lines import Lines, Sentences, read_lines, sentence_lines
from textvae.corpus.quarantine import QUARANTINE
from textvae.corpus.split import SIDES, Side
from textvae.corpus.tombstones import Tombstones, read_tombstones, tombstone_names
from textvae.errors import CorruptError, NotFoundError
from textvae.text.sentence import Sentence

MANIFEST_BYTES_MAX = 16 << 20
"""More is no manifest, and is not read into memory."""
SPAN_NAME = re.compile(r"[0-9]{6}-[0-9a-f]{12}")
# A folder beside the spans, of records that are like spans but have no sentences.
ASIDE = "aside"

Found = TypeVar("Found")


class Span(NamedTuple):
    """One ingest's new sentences, published."""

    name: str
    folder: Path
    report: dict[str, Any]
    """The data report, as in its report.json."""


class Corpus(NamedTuple):
    """The sentences of some spans, each sentence once, on one side."""

    train: Sequence[Sentence]
    valid: Sequence[Sentence]
    test: Sequence[Sentence]
    names: tuple[str, ...]
    """The spans, oldest first."""
    hashes: tuple[str, ...]
    """SHA-256 of each span's manifest, in the same order."""
    counts: tuple[int, ...] = ()
    """Training sentences of each span, in the same order; may be left out for a single one."""


def list_spans(spans: Path) -> list[str]:
    """The names of all spans, oldest first; none where there is no such folder.

    Of a forget, all or nothing is seen. CorruptError for a torn tombstone.
    """
    return _at_rest(spans, lambda tombstones: _current_spans(spans, tombstones))


def _at_rest(spans: Path, look: Callable[[Tombstones], Found]) -> Found:
    """What `look` finds by the tombstones; it looks again where a forget came in between."""
    while True:
        tombstones = read_tombstones(spans)
        try:
            found = look(tombstones)
        except (CorruptError, NotFoundError, FileNotFoundError):
            if tombstone_names(spans) == tombstones.names:
                raise
        else:
            if tombstone_names(spans) == tombstones.names:
                return found


def _current_spans(spans: Path, tombstones: Tombstones) -> list[str]:
    """The spans that are neither replaced nor the beginning of a forget that was cut short."""
    if not spans.is_dir():
        return []
    names = sorted(
        entry.name
        for entry in spans.iterdir()
        if SPAN_NAME.fullmatch(entry.name) and entry.name not in tombstones.successors
    )
    numbers = Counter(name[:6] for name in names)
    return [
        name
        for name in names
        if numbers[name[:6]] == 1 or read_manifest(spans, name).get("replaces") not in names
    ]


def load_spans(spans: Path, names: Sequence[str] | None = None) -> Corpus:
    """The sentences of these spans (None: of all), verified now and read when they are asked for.

    In the place of a span that lost sentences to a forget stands the one without them, and the
    corpus names that one. Raises NotFoundError where there is none or not this one, CorruptError
    naming the file that is missing, torn, swapped or extra.
    """
    return _at_rest(spans, lambda tombstones: _load_verified(spans, tombstones, names))


def _load_verified(spans: Path, tombstones: Tombstones, names: Sequence[str] | None) -> Corpus:
    """The sentences of the spans that stand in the place of these, by these tombstones."""
    if names is None:
        names = _current_spans(spans, tombstones)
    names = [tombstones.newest(name) for name in names]
    if not names:
        raise NotFoundError(f"{spans}: no text has been ingested; python -m jobs.ingest does that")
    _check_once(spans, names)
    manifests = [_manifest_bytes(spans, name) for name in names]
    verified = [
        _verify_files(spans / name, json.loads(manifest))
        for name, manifest in zip(names, manifests, strict=True)
    ]
    sides = {side: Sentences([span[f"{side}.jsonl"] for span in verified]) for side in SIDES}
    hashes = tuple(hashlib.sha256(manifest).hexdigest() for manifest in manifests)
    counts = tuple(len(span["train.jsonl"].ends) for span in verified)
    return Corpus(**sides, names=tuple(names), hashes=hashes, counts=counts)


def read_manifest(spans: Path, name: str) -> dict[str, Any]:
    """The manifest of a span, after its hash was found to be the one in the span's name."""
    manifest: dict[str, Any] = json.loads(_manifest_bytes(spans, name))
    return manifest


def write_span(
    spans: Path,
    kept: Mapping[Side, Sequence[Sentence]],
    report: dict[str, Any],
    facts: Mapping[str, Any],
    quarantine: bytes = b"",
    number: int = 0,
) -> Span:
    """A new span, after the newest one where no number is given; complete or not there at all.

    `facts` go into the manifest: where the sentences come from. The caller holds the spans' lock.
    """
    contents = {f"{side}.jsonl": sentence_lines(kept[side]) for side in SIDES}
    contents["report.json"] = files.canonical_json(report)
    if quarantine:
        contents[QUARANTINE] = quarantine
    manifest = files.canonical_json(
        {
            "format": 1,
            "files": {
                name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in contents.items()
            },
            **facts,
        }
    )
    if not number:
        there = list_spans(spans)
        number = int(there[-1].partition("-")[0]) + 1 if there else 1
    name = f"{number:06d}-{hashlib.sha256(manifest).hexdigest()[:12]}"
    with files.new_folder(spans / name) as folder:
        for file, data in {**contents, "manifest.json": manifest}.items():
            files.write_bytes(folder / file, data)
    return Span(name, spans / name, report)


def _check_once(spans: Path, names: Sequence[str]) -> None:
    """CorruptError where a span is there twice, under two numbers."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.partition("-")[2], name)
        if first != name:
            raise _corrupt(spans / name / "manifest.json", f"is that of {first} too")


def _manifest_bytes(spans: Path, name: str) -> bytes:
    """A span's manifest as it lies there; CorruptError where the span's name says another."""
    path = spans / name / "manifest.json"
    if not path.parent.is_dir():
        told = ", ".join(list_spans(spans)) or "none"
        raise NotFoundError(f"{spans}: no span {name}; there are: {told}")
    if not path.is_file():
        raise _corrupt(path, "is missing")
    if path.stat().st_size > MANIFEST_BYTES_MAX:
        raise _corrupt(path, f"has more than {MANIFEST_BYTES_MAX} bytes, so it is no manifest")
    data = path.read_bytes()
    if not name.endswith(f"-{hashlib.sha256(data).hexdigest()[:12]}"):
        raise _corrupt(path, "is not the manifest that the folder is named after")
    return data


def _verify_files(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Lines]:
    """The lines of each file of a span, as the manifest promises them."""
    listed = manifest["files"]
    extra = {entry.name for entry in folder.iterdir()} - set(listed) - {"manifest.json"}
    if extra:
        raise _corrupt(folder / min(extra), "is not in the manifest")
    contents = {}
    for name, promised in listed.items():
        path = folder / name
        if not path.is_file():
            raise _corrupt(path, "is missing")
        size = path.stat().st_size
        if size != promised["bytes"]:
            raise _corrupt(path, f"has {size} bytes, its manifest says {promised['bytes']}")
        found = read_lines(path)
        if found.sha256 != promised["sha256"]:
            raise _corrupt(path, "holds other bytes than its manifest says")
        contents[name] = found
    return contents


def _corrupt(path: Path, problem: str) -> CorruptError:
    """The error for a span that is not what it was, with the ways out."""
    message = (
        f"{path}: {problem}; put the span's folder back from a copy, or remove {path.parent.name} "
        "and ingest its files again"
    )
    # A name may hold bytes that are not UTF-8, which no answer or log could hold.
    return CorruptError(message.encode(errors="backslashreplace").decode())
