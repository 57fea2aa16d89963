"""The data report: what an ingest read, kept and dropped, in numbers and in lines for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from textvae.corpus.data_drift import drift_lines
from textvae.corpus.quarantine import QUARANTINE, QuarantinedRow
from textvae.corpus.readers import SkippedRow
from textvae.corpus.split import SIDES, Side
from textvae.text.sentence import Sentence

LABELS_MAX = 50


@dataclass
class Tally:
    """What happened to the lines while they were read; filled by ingest."""

    read: int = 0
    """Lines and rows of all files."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Lines that gave no sentence, by reason."""
    first: dict[str, str] = field(default_factory=dict)
    """Where each reason was met first: `file:line`."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """Sentences that stood on their own side already, by side."""
    overlap: Counter[str] = field(default_factory=Counter)
    """Sentences that stood on another side already, by the side they were dropped from."""
    near: Counter[str] = field(default_factory=Counter)
    """Sentences of which a near-duplicate stood on any side already, by their own side."""
    aside: list[QuarantinedRow] = field(default_factory=list)
    """Broken rows, which are dropped too, and broken files, whose rows are counted nowhere."""

    def drop(self, path: Path, found: SkippedRow) -> None:
        """Counts a line that gave no sentence, and sets it aside where it is broken."""
        self.dropped[found.reason] += 1
        self.first.setdefault(found.reason, f"{path.name}:{found.line}")
        if found.broken is not None:
            self.aside.append(QuarantinedRow(path.name, found.line, found.reason, found.broken))


def report_of(tally: Tally, kept: Mapping[Side, Sequence[Sentence]]) -> dict[str, Any]:
    """The report as plain JSON values; lengths are words of the kept sentences.

    read = kept + dropped + duplicates + overlap + near_duplicates, each the sum of its parts.
    """
    return {
        **contents_of(kept),
        "read": tally.read,
        "dropped": {
            reason: {"count": count, "first": tally.first[reason]}
            for reason, count in tally.dropped.items()
        },
        "duplicates": {side: tally.duplicates[side] for side in SIDES},
        "overlap": {side: tally.overlap[side] for side in SIDES},
        "near_duplicates": {side: tally.near[side] for side in SIDES},
        "quarantined": {
            "rows": sum(one.line > 0 for one in tally.aside),
            "files": {one.file: one.reason for one in tally.aside if not one.line},
        },
    }


def contents_of(kept: Mapping[Side, Sequence[Sentence]]) -> dict[str, Any]:
    """What the report says of the sentences that are there."""
    sentences = [sentence for side in SIDES for sentence in kept[side]]
    labels = Counter(sentence.label for sentence in sentences if sentence.label)
    return {
        "kept": {side: len(kept[side]) for side in SIDES},
        "words": _lengths([len(sentence.text.split()) for sentence in sentences]),
        "labels": dict(labels.most_common(LABELS_MAX)),
        "labels_distinct": len(labels),
    }


def _lengths(words: list[int]) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum; all 0 of nothing."""
    lengths = np.array(words or [0])
    return {
        "mean": round(float(lengths.mean()), 2),
        "p50": float(np.percentile(lengths, 50)),
        "p95": float(np.percentile(lengths, 95)),
        "max": float(lengths.max()),
    }


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The report of an ingest for people, a finding a line."""
    kept, twice, overlap = report["kept"], report["duplicates"], report["overlap"]
    words = report["words"]
    lines = [
        f"lines read     {report['read']:>9,}",
        f"sentences kept {sum(kept.values()):>9,}   {_by_side(kept)}",
        f"duplicates     {sum(twice.values()):>9,}   {_by_side(twice)}",
        f"on two sides   {sum(overlap.values()):>9,}   {_by_side(overlap)}",
    ]
    if near := sum(report["near_duplicates"].values()):
        lines.append(f"near-duplicates{near:>9,}   {_by_side(report['near_duplicates'])}")
    for reason, found in sorted(report["dropped"].items(), key=lambda item: -item[1]["count"]):
        lines.append(f"dropped        {found['count']:>9,}   {reason}, first at {found['first']}")
    if rows := report["quarantined"]["rows"]:
        lines.append(f"set aside      {rows:>9,}   of these, broken: see {QUARANTINE}")
    for file, reason in report["quarantined"]["files"].items():
        lines.append(f"set aside           file   {file}: {reason}")
    lines.append(
        f"words          {words['mean']:>9}   median {words['p50']:g}, "
        f"95 % up to {words['p95']:g}, longest {words['max']:g}"
    )
    most = sorted(report["labels"].items(), key=lambda item: -item[1])[:5]
    if most:
        told = ", ".join(f"{label} {count:,}" for label, count in most)
        lines.append(f"labels         {report['labels_distinct']:>9,}   {told}")
    return lines + drift_lines(report.get("drift"))


def _by_side(counts: Mapping[str, int]) -> str:
    """`train 10, valid 2, test 3`."""
    return ", ".join(f"{side} {counts[side]:,}" for side in SIDES)
