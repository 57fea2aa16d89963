"""Forgetting sentences for ever: gone from every span, and never let in again.

New spans without the sentences are written beside the old ones; the tombstone makes them the ones
that count; then the old ones go. A kill before the tombstone leaves the corpus as it was, one after
it leaves the corpus without the sentences, and `finish_forgetting`, which every ingest begins with,
clears up.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files, locks
from textvae.corpus.data_report import contents_of
from textvae.corpus.quarantine import QUARANTINE, quarantine_lines, read_quarantine
from textvae.corpus.readers import read_list
from textvae.corpus.spans import ASIDE, SPAN_NAME, list_spans, load_spans, span_manifest, write_span
from textvae.corpus.split import SIDES, Side
from textvae.corpus.tombstones import (
    TOMBSTONES,
    Successor,
    read_tombstones,
    sentence_hash,
    write_tombstone,
)
from textvae.errors import DataError, NotFoundError
from textvae.text.sentence import Sentence, normalise


class ForgetResult(NamedTuple):
    """What a forget did."""

    sentences: int
    """Different sentences that were to be forgotten."""
    tombstone: str
    """Name of the record; empty where all of them were forgotten before."""
    spans: dict[str, Successor]
    """What took the place of each span that changed."""

    def record(self) -> dict[str, Any]:
        """What happened as plain JSON values."""
        return {
            "sentences": self.sentences,
            "erased": sum(sum(span.erased.values()) for span in self.spans.values()),
            "tombstone": self.tombstone,
            "spans": {old: new._asdict() for old, new in self.spans.items()},
        }


def forget_lines(done: ForgetResult) -> list[str]:
    """What a forget did, for people."""
    if not done.tombstone:
        return [f"all {done.sentences:,} sentences were forgotten before"]
    lines = [f"sentences      {done.sentences:>9,}   never let in again, by {done.tombstone}"]
    for old, new in done.spans.items():
        sides = ", ".join(f"{side} {count:,}" for side, count in new.erased.items())
        lines.append(
            f"erased         {sum(new.erased.values()):>9,}   {old}, now {new.name}: {sides}"
        )
    return lines


def forget(path: Path, spans: Path) -> ForgetResult:
    """The sentences of a file, one a line, normalised as ingest does, are erased from every span.

    The texts of broken rows that were set aside go too. Raises NotFoundError (no such file, no
    spans), DataError (not UTF-8, no sentence), CorruptError (a span), BusyError (an ingest).
    """
    texts = {normalise(line) for line in read_list(path)} - {""}
    hashes = frozenset(map(sentence_hash, texts))
    if not hashes:
        raise DataError(f"{path}: holds no sentence; give the sentences to forget, one a line")
    if not spans.is_dir():
        raise NotFoundError(f"{spans}: no such folder, so nothing was forgotten; set store.spans")
    with locks.hold_lock(spans / ".lock", "forget"):
        finish_forgetting(spans)
        new = hashes - read_tombstones(spans).sentences
        if not new:
            return ForgetResult(len(hashes), "", {})
        replaced = {}
        for name in list_spans(spans):
            successor = _rewrite_span(spans, name, new)
            if successor:
                replaced[name] = successor
        tombstone = write_tombstone(spans, new, replaced)
        finish_forgetting(spans)
        return ForgetResult(len(hashes), tombstone, replaced)


def finish_forgetting(spans: Path) -> None:
    """What a forget left behind, whole or cut short, is gone from the disk.

    The caller holds the spans' lock.
    """
    for folder in (spans, spans / ASIDE, spans / TOMBSTONES):
        if folder.is_dir():
            files.remove_unfinished(folder)
    _remove_replaced(spans)
    if read_tombstones(spans).names:
        # Records without sentences are part of no corpus, so no tombstone has to say what
        # replaces them: one by one is enough.
        _remove_replaced(spans / ASIDE)
        for name in list_spans(spans / ASIDE):
            _rewrite_span(spans / ASIDE, name, ())
        _remove_older(spans / ASIDE)


def _remove_replaced(spans: Path) -> None:
    """Spans that do not count are removed."""
    standing = set(list_spans(spans))
    for entry in sorted(spans.iterdir() if spans.is_dir() else ()):
        if SPAN_NAME.fullmatch(entry.name) and entry.name not in standing:
            files.remove_folder(entry)


def _remove_older(aside: Path) -> None:
    """Of two records of one number, the one that the other was made from is removed."""
    if not aside.is_dir():
        return
    names = [entry.name for entry in aside.iterdir() if SPAN_NAME.fullmatch(entry.name)]
    replaced = {span_manifest(aside, name).get("replaces", "") for name in names}
    for older in sorted(replaced.intersection(names)):
        files.remove_folder(aside / older)


def _rewrite_span(spans: Path, name: str, forgotten: Collection[str]) -> Successor | None:
    """A span like this one without these sentences and without the text of broken rows, beside it;
    None where that is this one."""
    corpus = load_spans(spans, [name])
    kept: dict[Side, list[Sentence]] = {}
    erased: dict[str, int] = {}
    for side, sentences in zip(SIDES, (corpus.train, corpus.valid, corpus.test), strict=True):
        kept[side] = [row for row in sentences if sentence_hash(row.text) not in forgotten]
        erased[side] = len(sentences) - len(kept[side])
    path = spans / name / QUARANTINE
    quarantine = path.read_bytes() if path.is_file() else b""
    without_text = quarantine_lines(read_quarantine(quarantine), texts=False)
    if not any(erased.values()) and quarantine == without_text:
        return None
    report = json.loads((spans / name / "report.json").read_bytes())
    facts = span_manifest(spans, name)
    del facts["format"], facts["files"]
    span = write_span(
        spans,
        kept,
        _report_after(report, kept, erased),
        {**facts, "replaces": name},
        without_text,
        number=int(name[:6]),
    )
    return Successor(span.name, erased)


def _report_after(
    report: dict[str, Any], kept: dict[Side, list[Sentence]], erased: dict[str, int]
) -> dict[str, Any]:
    """The data report of what is left, and how many sentences went since it was first written."""
    before = report.get("forgotten", {})
    total = {side: before.get(side, 0) + erased[side] for side in SIDES}
    return {**report, **contents_of(kept), "forgotten": total}
