"""A version and its training as event files, for TensorBoard: a copy that nothing of ours reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from textvae import files
from textvae.errors import InputError
from textvae.reporting.export import Curve, VersionExport
from textvae.version_files import CONFIG_FILE

# One name for ever, so that an export takes the place of the one before; TensorBoard asks for no
# more than `tfevents` in it.
EVENTS = "events.out.tfevents.textvae"
BY_DIMENSION = ("kl_nats_by_dimension", "marginal_kl_nats_by_dimension")


def write_events(found: VersionExport, folder: Path) -> list[Path]:
    """Writes `FOLDER/<model>/<version>/` with three runs of TensorBoard, and returns their files.

    `train` and `held-out` share a chart for each figure of each phase, where curves are known;
    `version` has the settings, the figures and the KL by dimension. A file appears whole, in place
    of that of an earlier export. InputError where tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "tensorboard", "needs the package tensorboard; pip install textvae[tensorboard]"
        ) from None
    place = folder / found.version.model / found.version.name
    runs: dict[str, Callable[[Any], None]] = {"version": lambda writer: _describe(writer, found)}
    for name, held_out in (("train", False), ("held-out", True)):
        if chosen := [curve for curve in found.curves if curve.held_out == held_out]:
            runs[name] = lambda writer, chosen=chosen: _draw(writer, chosen)  # type: ignore[misc]
    written = []
    for name, fill in runs.items():
        # TensorBoard looks into hidden folders too, so a file is written where it does not look.
        with files.scratch_folder() as scratch:
            writer: Any = SummaryWriter(str(scratch))
            try:
                fill(writer)
            finally:
                writer.close()
            (made,) = scratch.iterdir()
            files.copy_file(made, place / name / EVENTS)
        written.append(place / name / EVENTS)
    return written


def _draw(writer: Any, curves: list[Curve]) -> None:
    """A scalar for each point of each curve."""
    for curve in curves:
        for point in curve.points:
            writer.add_scalar(f"{curve.phase}/{curve.figure}", point.value, point.step)


def _describe(writer: Any, found: VersionExport) -> None:
    """Settings and figures as text, and how the KL is spread over the dimensions."""
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
