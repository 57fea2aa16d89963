"""metrics.jsonl: the figures of a run, one line every `log_steps`, validation and resume.

A training line has the running means over the last `log_steps` steps, which begin anew where a run
was resumed; a validation line has figures of the held-out side, named `valid_...`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.errors import CorruptError, NotFoundError
from textvae.training.ranks import Ranks

RESUMED = "resumed"
"""The key of a mark: the run was interrupted, and resumed from its checkpoint at this step."""


class Metrics(NamedTuple):
    """The lines of one phase, written by the first rank."""

    path: Path
    phase: str
    ranks: Ranks

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append a line with the figures after a step, to six significant digits."""
        if not self.ranks.first:
            return
        rounded = {name: float(f"{value:.6g}") for name, value in figures.items()}
        files.append_line(self.path, json.dumps({"phase": self.phase, "step": step, **rounded}))

    def resume(self, step: int, steps: int) -> None:
        """Drop the lines that a killed run wrote after its checkpoint at `step`, so that no step
        stands twice, and mark where the phase resumes: not at its beginning and not at its end."""

        def is_before(line: str) -> bool:
            entry: dict[str, Any] = json.loads(line)
            # A run that is killed twice after one checkpoint has one mark.
            before = entry["step"] < step or (entry["step"] == step and RESUMED not in entry)
            return bool(entry["phase"] != self.phase or before)

        if not self.ranks.first:
            return
        files.truncate_lines(self.path, is_before)
        if 0 < step < steps:
            mark = {"phase": self.phase, "step": step, RESUMED: True}
            files.append_line(self.path, json.dumps(mark))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a run, which may still be running; an unfinished last line is left out.

    Raise NotFoundError where there is no file, and CorruptError for a line that is no entry.
    """
    try:
        *complete, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None
    lines = []
    for number, line in enumerate(complete, 1):
        try:
            entry = json.loads(line)
            lines.append({**entry, "phase": str(entry["phase"]), "step": int(entry["step"])})
        except (ValueError, TypeError, KeyError):
            raise CorruptError(f"{path}: line {number} is not an entry of metrics") from None
    return lines
