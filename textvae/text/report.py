"""The data report: what an ingest read, kept and dropped, in numbers and in lines for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from textvae.text.corpus import Dropped, Sentence
from textvae.text.split import SIDES, Side

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

    def drop(self, path: Path, found: Dropped) -> None:
        """Counts a line that gave no sentence."""
        self.dropped[found.reason] += 1
        self.first.setdefault(found.reason, f"{path.name}:{found.line}")


def report_of(tally: Tally, kept: Mapping[Side, Sequence[Sentence]]) -> dict[str, Any]:
    """The report as plain JSON values; lengths are words of the kept sentences.

    read = kept + dropped + duplicates + overlap, each the sum of its parts.
    """
    sentences = [sentence for side in SIDES for sentence in kept[side]]
    labels = Counter(sentence.label for sentence in sentences if sentence.label)
    return {
        "read": tally.read,
        "kept": {side: len(kept[side]) for side in SIDES},
        "dropped": {
            reason: {"count": count, "first": tally.first[reason]}
            for reason, count in tally.dropped.items()
        },
        "duplicates": {side: tally.duplicates[side] for side in SIDES},
        "overlap": {side: tally.overlap[side] for side in SIDES},
        "words": _lengths([len(sentence.text.split()) for sentence in sentences]),
        "labels": dict(labels.most_common(LABELS_MAX)),
        "labels_distinct": len(labels),
    }


def _lengths(words: list[int]) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum."""
    lengths = np.array(words)
    return {
        "mean": round(float(lengths.mean()), 2),
        "p50": float(np.percentile(lengths, 50)),
        "p95": float(np.percentile(lengths, 95)),
        "max": float(lengths.max()),
    }


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The report for people, a finding a line."""
    kept, twice, overlap = report["kept"], report["duplicates"], report["overlap"]
    words = report["words"]
    lines = [
        f"lines read     {report['read']:>9,}",
        f"sentences kept {sum(kept.values()):>9,}   {_by_side(kept)}",
        f"duplicates     {sum(twice.values()):>9,}   {_by_side(twice)}",
        f"on two sides   {sum(overlap.values()):>9,}   {_by_side(overlap)}",
    ]
    for reason, found in sorted(report["dropped"].items(), key=lambda item: -item[1]["count"]):
        lines.append(f"dropped        {found['count']:>9,}   {reason}, first at {found['first']}")
    lines.append(
        f"words          {words['mean']:>9}   median {words['p50']:g}, "
        f"95 % up to {words['p95']:g}, longest {words['max']:g}"
    )
    most = sorted(report["labels"].items(), key=lambda item: -item[1])[:5]
    if most:
        told = ", ".join(f"{label} {count:,}" for label, count in most)
        lines.append(f"labels         {report['labels_distinct']:>9,}   {told}")
    return lines


def _by_side(counts: Mapping[str, int]) -> str:
    """`train 10, valid 2, test 3`."""
    return ", ".join(f"{side} {counts[side]:,}" for side in SIDES)
