"""The data report: what an ingest read, kept and dropped, as numbers and as lines of text."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from textvae.corpus.data_drift import drift_lines
from textvae.corpus.group_report import group_figures, group_lines, groups_of_repeats
from textvae.corpus.quarantine import QUARANTINE, QuarantinedRow
from textvae.corpus.readers import SkippedRow
from textvae.corpus.split import SIDES, Side
from textvae.text.sentence import Sentence

LABELS_MAX = 50


@dataclass
class Tally:
    """Counts of what became of the lines; filled by ingest."""

    read: int = 0
    """Lines and rows of all files."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Lines that gave no sentence, by reason."""
    first: dict[str, str] = field(default_factory=dict)
    """The first `file:line` of each reason."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """Sentences that were on their own side already, by side."""
    overlap: Counter[str] = field(default_factory=Counter)
    """Sentences that were on another side already, by the side they were dropped from."""
    near: Counter[str] = field(default_factory=Counter)
    """Sentences with a near-duplicate on any side, by their own side."""
    repeated: set[str] = field(default_factory=set)
    """Groups of the sentences that were dropped as repeats or near-duplicates."""
    aside: list[QuarantinedRow] = field(default_factory=list)
    """Broken rows, which are dropped too, and broken files, whose rows are not counted."""
    empty: list[str] = field(default_factory=list)
    """The sound files that gave no sentence, and why."""

    def drop(self, path: Path, row: SkippedRow) -> None:
        """Count a line without a sentence, and quarantine it where it is broken."""
        self.dropped[row.reason] += 1
        self.first.setdefault(row.reason, f"{path.name}:{row.line}")
        if row.broken is not None:
            self.aside.append(QuarantinedRow(path.name, row.line, row.reason, row.broken))


def report_of(
    tally: Tally, kept: Mapping[Side, Sequence[Sentence]], known_groups: Set[str] = frozenset()
) -> dict[str, Any]:
    """Return the report as JSON values; lengths are words of the kept sentences.

    `known_groups` are those of earlier spans.
    read = kept + dropped + duplicates + overlap + near_duplicates, each the sum of its parts.
    """
    groups = {row.group for side in SIDES for row in kept[side] if row.group}
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
        "empty_files": len(tally.empty),
        "quarantined": {
            "rows": sum(one.line > 0 for one in tally.aside),
            "files": {one.file: one.reason for one in tally.aside if not one.line},
        },
        "groups_known": len(groups & known_groups),
        "groups_of_repeats": groups_of_repeats(kept, tally.repeated - known_groups),
    }


def contents_of(kept: Mapping[Side, Sequence[Sentence]]) -> dict[str, Any]:
    """Return the part of the report about the kept sentences."""
    sentences = [sentence for side in SIDES for sentence in kept[side]]
    labels = Counter(sentence.label for sentence in sentences if sentence.label)
    return {
        "kept": {side: len(kept[side]) for side in SIDES},
        "words": _lengths([len(sentence.text.split()) for sentence in sentences]),
        "characters": _lengths([len(sentence.text) for sentence in sentences]),
        "labels": dict(labels.most_common(LABELS_MAX)),
        "labels_distinct": len(labels),
        "groups": group_figures(kept),
    }


def _lengths(counts: list[int]) -> dict[str, float]:
    """Return mean, median, 95th percentile and maximum; all 0 without any."""
    lengths = np.array(counts or [0])
    return {
        "mean": round(float(lengths.mean()), 2),
        "p50": float(np.percentile(lengths, 50)),
        "p95": float(np.percentile(lengths, 95)),
        "max": float(lengths.max()),
    }


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the report of an ingest as lines of text."""
    kept, duplicates, overlap = report["kept"], report["duplicates"], report["overlap"]
    lines = [
        f"lines read     {report['read']:>9,}",
        f"sentences kept {sum(kept.values()):>9,}   {_by_side(kept)}",
        f"duplicates     {sum(duplicates.values()):>9,}   {_by_side(duplicates)}",
        f"on two sides   {sum(overlap.values()):>9,}   {_by_side(overlap)}",
    ]
    if near := sum(report["near_duplicates"].values()):
        lines.append(f"near-duplicates{near:>9,}   {_by_side(report['near_duplicates'])}")
    for reason, rows in sorted(report["dropped"].items(), key=lambda item: -item[1]["count"]):
        lines.append(f"dropped        {rows['count']:>9,}   {reason}, first at {rows['first']}")
    if empty := report.get("empty_files"):
        lines.append(f"empty          {empty:>9,}   files without a sentence, and without a fault")
    if broken := report["quarantined"]["rows"]:
        lines.append(f"set aside      {broken:>9,}   of these, broken: see {QUARANTINE}")
    for file, reason in report["quarantined"]["files"].items():
        lines.append(f"set aside           file   {file}: {reason}")
    # Where there are no spaces between words, characters are what says something.
    for name in ("words", "characters"):
        if lengths := report.get(name):
            lines.append(
                f"{name:<15}{lengths['mean']:>9}   median {lengths['p50']:g}, "
                f"95 % up to {lengths['p95']:g}, longest {lengths['max']:g}"
            )
    most = sorted(report["labels"].items(), key=lambda item: -item[1])[:5]
    if most:
        labels = ", ".join(f"{label} {count:,}" for label, count in most)
        lines.append(f"labels         {report['labels_distinct']:>9,}   {labels}")
    return lines + group_lines(report) + drift_lines(report.get("drift"))


def _by_side(counts: Mapping[str, int]) -> str:
    """Return `train 10, valid 2, test 3`."""
    return ", ".join(f"{side} {counts[side]:,}" for side in SIDES)
