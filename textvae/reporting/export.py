"""What is exported of a version: its settings, figures, curves and report."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textvae.store.attachments import newest_attachment, read_attachment
from textvae.store.versions import Version
from textvae.training.metrics import read_metrics
from textvae.version_files import CONFIG_FILE

HELD_OUT = "valid_"
"""Prefix of the figures of a validation step in metrics.jsonl."""
NOT_FIGURES = ("phase", "step", "resumed")


class Point(NamedTuple):
    """A figure after a step."""

    step: int
    value: float


class Curve(NamedTuple):
    """A figure over the steps of a phase."""

    phase: str
    figure: str
    """Such as kl_nats, on both sides."""
    held_out: bool
    points: Sequence[Point]


class VersionExport(NamedTuple):
    """A version and its training, as other tools receive them."""

    version: Version
    settings: Mapping[str, str]
    """Of its training, such as `training.steps`: `20000`."""
    figures: Mapping[str, Any]
    """Of its newest evaluation; empty where it was not evaluated."""
    curves: Sequence[Curve]
    """Empty where the run is not known."""
    report: Mapping[str, str]
    """The files of its newest report; empty where it has none."""
    report_name: str
    """The attachment of the report, or empty."""

    def numbers(self) -> dict[str, float]:
        """Return the figures that are one number."""
        return {
            name: float(value)
            for name, value in self.figures.items()
            if isinstance(value, int | float)
        }


def collect_export(registry: Path, version: Version, run: Path | None) -> VersionExport:
    """Return the export of a version, with curves where the folder of its run is given.

    Raises NotFoundError where that folder has no metrics.jsonl, CorruptError for damaged files.
    """
    evaluation = newest_attachment(registry, version, "evaluation-")
    report = newest_attachment(registry, version, "report-")
    evaluation_files = read_attachment(registry, version, evaluation) if evaluation else None
    report_files = (read_attachment(registry, version, report) if report else None) or {}
    config = tomllib.loads((version.folder / CONFIG_FILE).read_text(encoding="utf-8"))
    return VersionExport(
        version,
        settings={
            f"{section}.{name}": _spell_setting(value)
            for section, values in config.items()
            for name, value in values.items()
        },
        figures=json.loads(evaluation_files["figures.json"]) if evaluation_files else {},
        curves=group_curves(read_metrics(run / "metrics.jsonl")) if run else [],
        report={name: data.decode() for name, data in report_files.items()},
        report_name=report,
    )


def group_curves(lines: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """Group the lines of metrics.jsonl into curves, in the order in which they begin."""
    points: dict[tuple[str, str, bool], list[Point]] = {}
    for line in lines:
        for name, value in line.items():
            if name not in NOT_FIGURES:
                key = (line["phase"], name.removeprefix(HELD_OUT), name.startswith(HELD_OUT))
                points.setdefault(key, []).append(Point(line["step"], float(value)))
    return [Curve(*key, each) for key, each in points.items()]


def _spell_setting(value: Any) -> str:
    """Return a setting as JSON and TOML spell it, text without its quotes."""
    return value if isinstance(value, str) else json.dumps(value)
