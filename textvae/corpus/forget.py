"""Forgetting sentences for ever: they are erased from every span and never ingested again.

New spans without the sentences are written next to the old ones; the tombstone makes them current;
then the old ones are removed. A kill before the tombstone leaves the corpus as it was, one after it
leaves the corpus without the sentences; `finish_forgetting`, the first step of every ingest,
removes what is left over.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files, locks
from textvae.corpus.data_report import contents_of
from textvae.corpus.lists import read_list
from textvae.corpus.quarantine import QUARANTINE, quarantine_lines, read_quarantine
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
    """The result of a forget."""

    sentences: int
    """Distinct sentences of the list."""
    tombstone: str
    """Name of the record; empty where all of them were forgotten before."""
    spans: dict[str, Successor]
    """The successor of each span that changed."""

    def record(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "sentences": self.sentences,
            "erased": sum(sum(span.erased.values()) for span in self.spans.values()),
            "tombstone": self.tombstone,
            "spans": {old: new._asdict() for old, new in self.spans.items()},
        }


def forget_lines(result: ForgetResult) -> list[str]:
    """Return the result of a forget as lines of text."""
    if not result.tombstone:
        return [f"all {result.sentences:,} sentences were forgotten before"]
    lines = [f"sentences      {result.sentences:>9,}   never let in again, by {result.tombstone}"]
    for old, new in result.spans.items():
        sides = ", ".join(f"{side} {count:,}" for side, count in new.erased.items())
        lines.append(
            f"erased         {sum(new.erased.values()):>9,}   {old}, now {new.name}: {sides}"
        )
    return lines


def sentences_to_forget(path: Path) -> set[str]:
    """Return the sentences of a list, normalised; DataError where it has none."""
    texts = {normalise(line) for line in read_list(path)} - {""}
    if not texts:
        raise DataError(f"{path}: holds no sentence; give the sentences to forget, one a line")
    return texts


def forget(path: Path, spans: Path) -> ForgetResult:
    """Erase the sentences of a file, one a line, normalised as in ingest, from every span.

    Also erases the texts of all quarantined rows. Raises NotFoundError (no such file, no
    spans), DataError (not UTF-8, no sentence), CorruptError (a span), BusyError (an ingest).
    """
    hashes = frozenset(map(sentence_hash, sentences_to_forget(path)))
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
    """Remove from the disk what a forget, complete or interrupted, left behind.

    The caller holds the spans' lock.
    """
    for folder in (spans, spans / ASIDE, spans / TOMBSTONES):
        if folder.is_dir():
            files.remove_unfinished(folder)
    _remove_replaced(spans)
    if read_tombstones(spans).names:
        # Records without sentences are part of no corpus, so they need no tombstone and are
        # replaced one by one.
        _remove_replaced(spans / ASIDE)
        for name in list_spans(spans / ASIDE):
            _rewrite_span(spans / ASIDE, name, ())
        _remove_older(spans / ASIDE)


def _remove_replaced(spans: Path) -> None:
    """Remove the spans that are not current."""
    current = set(list_spans(spans))
    for entry in sorted(spans.iterdir() if spans.is_dir() else ()):
        if SPAN_NAME.fullmatch(entry.name) and entry.name not in current:
            files.remove_folder(entry)


def _remove_older(aside: Path) -> None:
    """Of two records of one number, remove the one that the other replaces."""
    if not aside.is_dir():
        return
    names = [entry.name for entry in aside.iterdir() if SPAN_NAME.fullmatch(entry.name)]
    replaced = {span_manifest(aside, name).get("replaces", "") for name in names}
    for older in sorted(replaced.intersection(names)):
        files.remove_folder(aside / older)


def _rewrite_span(spans: Path, name: str, forgotten: Collection[str]) -> Successor | None:
    """Write a span without these sentences and without the text of broken rows; None if equal."""
    corpus = load_spans(spans, [name])
    rest: dict[Side, list[Sentence]] = {}
    erased: dict[str, int] = {}
    for side, sentences in zip(SIDES, (corpus.train, corpus.valid, corpus.test), strict=True):
        rest[side] = [row for row in sentences if sentence_hash(row.text) not in forgotten]
        erased[side] = len(sentences) - len(rest[side])
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
        rest,
        _report_after(report, rest, erased),
        {**facts, "replaces": name},
        without_text,
        number=int(name[:6]),
    )
    return Successor(span.name, erased)


def _report_after(
    report: dict[str, Any], rest: dict[Side, list[Sentence]], erased: dict[str, int]
) -> dict[str, Any]:
    """Return the data report of the rest, with the number of sentences erased since the ingest."""
    before = report.get("forgotten", {})
    total = {side: before.get(side, 0) + erased[side] for side in SIDES}
    return {**report, **contents_of(rest), "forgotten": total}
