"""Spans: the corpus as a series of immutable folders, one per ingest.

`spans/000001-3f9a1c2b77d0/` holds train.jsonl, valid.jsonl, test.jsonl, report.json and
manifest.json, and quarantine.jsonl where something was broken: a sealed folder, named after a
running number and its manifest. A forget puts a span of the same number in another's place; the
tombstones record which.
"""

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
from textvae.installation import job_command
from textvae.sealed import (
    MANIFEST,
    Sealed,
    check_name,
    corrupt,
    manifest_of,
    name_after,
    read_files,
    read_manifest,
)
from textvae.text.sentence import Sentence

SPAN_NAME = re.compile(r"[0-9]{6}-[0-9a-f]{12}")
# A folder next to the spans, of records that are like spans but have no sentences.
ASIDE = "aside"

Value = TypeVar("Value")


class Span(NamedTuple):
    """The published new sentences of one ingest."""

    name: str
    folder: Path
    report: dict[str, Any]
    """The data report, as in its report.json."""


class Corpus(NamedTuple):
    """The sentences of several spans, each once, on one side."""

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
    """Return the names of all spans, oldest first; none where there is no such folder.

    Of a forget that runs meanwhile, all or nothing is seen. CorruptError for a torn tombstone.
    """
    return _read_consistently(spans, lambda tombstones: _current_spans(spans, tombstones))


def _read_consistently(spans: Path, read: Callable[[Tombstones], Value]) -> Value:
    """Return what `read` returns for the tombstones; read again where a forget changed them."""
    while True:
        tombstones = read_tombstones(spans)
        try:
            value = read(tombstones)
        except (CorruptError, NotFoundError, FileNotFoundError):
            if tombstone_names(spans) == tombstones.names:
                raise
        else:
            if tombstone_names(spans) == tombstones.names:
                return value


def _current_spans(spans: Path, tombstones: Tombstones) -> list[str]:
    """Return the spans without those that were replaced or that an interrupted forget wrote."""
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
        if numbers[name[:6]] == 1 or span_manifest(spans, name).get("replaces") not in names
    ]


def load_spans(spans: Path, names: Sequence[str] | None = None) -> Corpus:
    """Return the sentences of these spans (None: of all), verified now and parsed on access.

    A span that lost sentences to a forget is replaced by the one without them, and the corpus
    names that one. Raises NotFoundError where there is none or not this one, CorruptError naming
    the file that is missing, torn, swapped or extra.
    """
    return _read_consistently(spans, lambda tombstones: _load_verified(spans, tombstones, names))


def _load_verified(spans: Path, tombstones: Tombstones, names: Sequence[str] | None) -> Corpus:
    """Return the sentences of these spans, or of their successors by these tombstones."""
    if names is None:
        names = _current_spans(spans, tombstones)
    names = [tombstones.newest(name) for name in names]
    if not names:
        job = job_command("ingest")
        raise NotFoundError(f"{spans}: no text has been ingested; {job} does that")
    _check_distinct(spans, names)
    manifests = [_read_manifest(spans, name) for name in names]
    contents = [
        read_files(spans / name, manifest, _hash_lines, _remedy(name))
        for name, manifest in zip(names, manifests, strict=True)
    ]
    sides = {side: Sentences([lines[f"{side}.jsonl"] for lines in contents]) for side in SIDES}
    hashes = tuple(manifest.manifest_sha256 for manifest in manifests)
    counts = tuple(len(lines["train.jsonl"].ends) for lines in contents)
    return Corpus(**sides, names=tuple(names), hashes=hashes, counts=counts)


def span_manifest(spans: Path, name: str) -> dict[str, Any]:
    """Return the manifest of a span; CorruptError unless it is the one that its name says."""
    return _read_manifest(spans, name).manifest


def write_span(
    spans: Path,
    sentences: Mapping[Side, Sequence[Sentence]],
    report: dict[str, Any],
    facts: Mapping[str, Any],
    quarantine: bytes = b"",
    number: int = 0,
) -> Span:
    """Write a new span, after the newest one where no number is given; complete or not at all.

    `facts` go into the manifest: where the sentences come from. The caller holds the spans' lock.
    """
    contents = {f"{side}.jsonl": sentence_lines(sentences[side]) for side in SIDES}
    contents["report.json"] = files.canonical_json(report)
    if quarantine:
        contents[QUARANTINE] = quarantine
    manifest = manifest_of(contents, facts)
    if not number:
        names = list_spans(spans)
        number = int(names[-1].partition("-")[0]) + 1 if names else 1
    name = name_after(manifest, f"{number:06d}")
    with files.new_folder(spans / name) as folder:
        for file, data in {**contents, MANIFEST: manifest}.items():
            files.write_bytes(folder / file, data)
    return Span(name, spans / name, report)


def _check_distinct(spans: Path, names: Sequence[str]) -> None:
    """Raise CorruptError where a span is there twice, under two numbers."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.partition("-")[2], name)
        if first != name:
            raise corrupt(spans / name / MANIFEST, f"is that of {first} too", _remedy(name))


def _read_manifest(spans: Path, name: str) -> Sealed:
    """Read the manifest of a span; CorruptError unless it is the one that the name says."""
    folder, remedy = spans / name, _remedy(name)
    if not folder.is_dir():
        existing = ", ".join(list_spans(spans)) or "none"
        raise NotFoundError(f"{spans}: no span {name}; there are: {existing}")
    sealed = read_manifest(folder, remedy)
    check_name(folder, name, sealed, remedy)
    return sealed


def _hash_lines(path: Path) -> tuple[str, Lines]:
    """Return the SHA-256 of a file and its lines, from one pass over its bytes."""
    lines = read_lines(path)
    return lines.sha256, lines


def _remedy(name: str) -> str:
    """Return what to do about a damaged span."""
    return f"put the span's folder back from a copy, or remove {name} and ingest its files again"
