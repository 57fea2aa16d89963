"""What other tools are told of a version: its settings, figures, curves and report."""

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
"""How the figures of a look at the held-out side begin in metrics.jsonl."""
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
    """A version and its training, as others are told of them."""

    version: Version
    settings: Mapping[str, str]
    """What it was trained with, such as `training.steps`: `20000`."""
    figures: Mapping[str, Any]
    """Of its newest evaluation; none where it was not evaluated."""
    curves: Sequence[Curve]
    """None where no run was given."""
    report: Mapping[str, str]
    """The files of its newest report; none where it has none."""
    report_name: str
    """The attachment of the report, or empty."""

    def numbers(self) -> dict[str, float]:
        """The figures that are one number."""
        return {
            name: float(value)
            for name, value in self.figures.items()
            if isinstance(value, int | float)
        }


def collect_export(registry: Path, version: Version, run: Path | None) -> VersionExport:
    """All that is known of a version; of its steps, where the folder of its run is given.

    NotFoundError where that folder has no metrics.jsonl; CorruptError for what is damaged.
    """
    evaluation = newest_attachment(registry, version, "evaluation-")
    report = newest_attachment(registry, version, "report-")
    measured = read_attachment(registry, version, evaluation) if evaluation else None
    told = read_attachment(registry, version, report) if report else None
    config = tomllib.loads((version.folder / CONFIG_FILE).read_text(encoding="utf-8"))
    return VersionExport(
        version,
        settings={
            f"{section}.{name}": _spell_setting(value)
            for section, values in config.items()
            for name, value in values.items()
        },
        figures=json.loads(measured["figures.json"]) if measured else {},
        curves=curves(read_metrics(run / "metrics.jsonl")) if run else [],
        report={name: data.decode() for name, data in (told or {}).items()},
        report_name=report,
    )


def curves(lines: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """The lines of metrics.jsonl as curves, in the order in which they begin."""
    found: dict[tuple[str, str, bool], list[Point]] = {}
    for line in lines:
        for name, value in line.items():
            if name not in NOT_FIGURES:
                key = (line["phase"], name.removeprefix(HELD_OUT), name.startswith(HELD_OUT))
                found.setdefault(key, []).append(Point(line["step"], float(value)))
    return [Curve(*key, points) for key, points in found.items()]


def _spell_setting(value: Any) -> str:
    """A setting as JSON and TOML spell it; text without its quotes."""
    return value if isinstance(value, str) else json.dumps(value)
