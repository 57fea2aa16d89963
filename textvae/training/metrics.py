"""metrics.jsonl: what a run says of its steps, one line an interval, one a look, one a resume."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.errors import CorruptError, NotFoundError
from textvae.training.ranks import Ranks

RESUMED = "resumed"
"""The key of a mark: here the run was cut off, and went on from its checkpoint."""


class Metrics(NamedTuple):
    """The lines of one phase; the first rank writes them."""

    path: Path
    phase: str
    ranks: Ranks

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """One line."""
        if not self.ranks.first:
            return
        rounded = {name: float(f"{value:.6g}") for name, value in figures.items()}
        files.append_line(self.path, json.dumps({"phase": self.phase, "step": step, **rounded}))

    def go_on(self, step: int, steps: int) -> None:
        """Drop what a killed run wrote after its checkpoint, so that no step stands twice, and mark
        the step from which the phase goes on; neither a beginning nor an end is marked."""

        def keep(line: str) -> bool:
            entry: dict[str, Any] = json.loads(line)
            # A run that is killed twice after one checkpoint has one mark.
            before = entry["step"] < step or (entry["step"] == step and RESUMED not in entry)
            return bool(entry["phase"] != self.phase or before)

        if not self.ranks.first:
            return
        files.truncate_lines(self.path, keep)
        if 0 < step < steps:
            mark = {"phase": self.phase, "step": step, RESUMED: True}
            files.append_line(self.path, json.dumps(mark))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a run, also of one that goes on right now; NotFoundError where there are none.

    CorruptError where a line is none of a run's. A last line that is not ended yet is left out.
    """
    try:
        *whole, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None
    lines = []
    for number, line in enumerate(whole, 1):
        try:
            entry = json.loads(line)
            lines.append({**entry, "phase": str(entry["phase"]), "step": int(entry["step"])})
        except (ValueError, TypeError, KeyError):
            raise CorruptError(f"{path}: line {number} is none of a run's") from None
    return lines
