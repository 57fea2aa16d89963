"""Whether a checkpoint is as it was saved; asked without torch."""

import hashlib
import json
from pathlib import Path


def read_whole(folder: Path) -> dict[str, bytes] | None:
    """The files of a checkpoint, or None where one is missing or not what it was."""
    try:
        sums = json.loads((folder / "sums.json").read_bytes())
        parts = {name: (folder / name).read_bytes() for name in sums}
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    whole = all(
        hashlib.sha256(content).hexdigest() == sums[name] for name, content in parts.items()
    )
    return parts if whole and "state.json" in parts else None


def damaged_checkpoints(runs: Path) -> list[Path]:
    """The checkpoints below a folder of runs that are not whole; training goes on before them."""
    found = sorted(runs.glob("*/checkpoints/*/[0-9]*")) if runs.is_dir() else []
    return [path for path in found if read_whole(path) is None and path.exists()]
