"""A version and its training as event files for TensorBoard: a copy that textvae never reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from textvae import files
from textvae.errors import InputError
from textvae.installation import how_to_install
from textvae.reporting.export import Curve, VersionExport
from textvae.version_files import CONFIG_FILE

# A fixed name, so that an export replaces the one before; TensorBoard only wants `tfevents` in it.
EVENTS = "events.out.tfevents.textvae"
BY_DIMENSION = ("kl_nats_by_dimension", "marginal_kl_nats_by_dimension")


def write_events(found: VersionExport, folder: Path) -> list[Path]:
    """Write `FOLDER/<model>/<version>/` with up to three runs of TensorBoard; return their files.

    `train` and `held-out` share a chart for each figure of each phase, where curves are known;
    `version` has the settings, the figures and the KL by dimension. A file replaces that of an
    earlier export at once. Raises InputError where tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "tensorboard", f"needs the package tensorboard; {how_to_install('tensorboard')}"
        ) from None
    version_folder = folder / found.version.model / found.version.name
    runs: dict[str, Callable[[Any], None]] = {"version": lambda writer: _add_version(writer, found)}
    for name, held_out in (("train", False), ("held-out", True)):
        if chosen := [curve for curve in found.curves if curve.held_out == held_out]:
            runs[name] = lambda writer, chosen=chosen: _add_curves(writer, chosen)  # type: ignore[misc]
    paths = []
    for name, fill in runs.items():
        path = version_folder / name / EVENTS
        # TensorBoard reads hidden folders too, so a file is written outside its folder first.
        with files.scratch_folder() as scratch:
            writer: Any = SummaryWriter(str(scratch))
            try:
                fill(writer)
            finally:
                writer.close()
            (event_file,) = scratch.iterdir()
            files.copy_file(event_file, path)
        paths.append(path)
    return paths


def _add_curves(writer: Any, curves: list[Curve]) -> None:
    """Write a scalar for each point of each curve."""
    for curve in curves:
        for point in curve.points:
            writer.add_scalar(f"{curve.phase}/{curve.figure}", point.value, point.step)


def _add_version(writer: Any, found: VersionExport) -> None:
    """Write settings and figures as text, and figures by dimension as histograms."""
    manifest = found.version.manifest
    step = int(manifest.get("steps", {}).get("vae", 0))
    config = (found.version.folder / CONFIG_FILE).read_text(encoding="utf-8")
    writer.add_text("settings", f"```\n{config}```", step)
    parent, spans = manifest.get("parent") or "none", ", ".join(manifest.get("spans", {}))
    writer.add_text("made of", f"parent: {parent}\n\nspans: {spans}", step)
    if numbers := found.numbers():
        rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in numbers.items())
        writer.add_text("figures", f"| figure | value |\n|---|---|\n{rows}", step)
    for name in BY_DIMENSION:
        if found.figures.get(name):
            writer.add_histogram(name, np.asarray(found.figures[name]), step)
