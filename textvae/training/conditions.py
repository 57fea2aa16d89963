"""The conditions of a process that the last bits of its weights depend on, besides recipe and text.

A run that resumed under other conditions would end with weights that neither gives alone, and its
manifest would be half true: it is refused, or begun anew with `training.restart`.
"""

import importlib.metadata
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from textvae import files
from textvae.config.training import TrainingConfig
from textvae.errors import InputError
from textvae.model.native import native_to_learn
from textvae.training.loop import arithmetic
from textvae.training.ranks import Ranks, current_ranks

log = logging.getLogger(__name__)

RECORD = "conditions.json"


def conditions(config: TrainingConfig) -> dict[str, str]:
    """Return the conditions of this process, in words by name."""
    common = {
        "textvae": importlib.metadata.version("textvae"),
        "torch": str(torch.__version__),
        "arithmetic": arithmetic(config.precision, config.device),
        "processes": str(current_ranks().world),
    }
    if config.device == "cuda":
        return {**common, "processor": torch.cuda.get_device_name()}
    library = native_to_learn()
    return {
        **common,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "compiled": "nothing" if library is None else f"C for {library.lanes_best()} lanes",
        # Each thread adds up a part of a sum, so their number decides how sums are rounded.
        "threads": str(torch.get_num_threads()),
    }


def check_conditions(
    checkpoints: Path, current: Mapping[str, str], restart: bool, ranks: Ranks
) -> None:
    """Raise InputError unless the run's checkpoints are of the conditions `current`, or absent.

    The error says what differs. With `restart` the checkpoints are removed instead, and the log
    says so. All ranks must call it; the first decides.
    """
    differences = _differences(checkpoints, current) if ranks.first else ""
    (differs,) = ranks.any(bool(differences))
    if differs and not restart:
        raise InputError(
            "training.restart",
            f"{checkpoints.parent} was begun with {differences or 'others'}, and resuming it would "
            "give weights that neither gives: run it as it was begun, or begin it anew with "
            "--training.restart or without its folder",
        )
    if ranks.first:
        if differs:
            log.warning("%s: begun anew, it was begun with %s", checkpoints.parent, differences)
            files.remove_folder(checkpoints)
        if not (checkpoints / RECORD).exists():
            files.write_json(checkpoints / RECORD, current)
    ranks.wait()


def _differences(checkpoints: Path, current: Mapping[str, str]) -> str:
    """Return which conditions have changed, in words; empty for none, or where no run has begun."""
    path = checkpoints / RECORD
    if not path.exists():
        has_checkpoints = any(checkpoints.glob("*/[0-9]*"))
        return "a textvae that wrote no conditions.json" if has_checkpoints else ""
    recorded = json.loads(path.read_bytes())
    names = sorted(
        name for name in {*recorded, *current} if recorded.get(name) != current.get(name)
    )
    return ", ".join(
        f"{name} {recorded.get(name, 'unknown')} (now {current.get(name, 'unknown')})"
        for name in names
    )
