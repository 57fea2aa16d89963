"""metrics.jsonl: what a run says of its steps, one line an interval and one a look."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.training.ranks import Ranks


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

    def forget_after(self, step: int) -> None:
        """Drop what a killed run wrote after its checkpoint, so that no step stands twice."""

        def keep(line: str) -> bool:
            entry: dict[str, Any] = json.loads(line)
            return bool(entry["phase"] != self.phase or entry["step"] <= step)

        if self.ranks.first:
            files.truncate_lines(self.path, keep)
