"""What the last bits of a run's weights depend on, beside its recipe and its text.

A run that goes on under others would end with weights that neither would give alone, and its
manifest would say half of the truth: it is refused, or begun anew where that is asked for.
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
    """The conditions of this process, in words by name."""
    found = {
        "textvae": importlib.metadata.version("textvae"),
        "torch": str(torch.__version__),
        "arithmetic": arithmetic(config.precision, config.device),
        "processes": str(current_ranks().world),
    }
    if config.device == "cuda":
        return {**found, "processor": torch.cuda.get_device_name()}
    library = native_to_learn()
    return {
        **found,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "compiled": "nothing" if library is None else f"C for {library.lanes_best()} lanes",
        # Sums are made of as many parts as there are threads.
        "threads": str(torch.get_num_threads()),
    }


def check_conditions(
    checkpoints: Path, now: Mapping[str, str], restart: bool, ranks: Ranks
) -> None:
    """The checkpoints of a run are of the conditions `now`, or there are none yet.

    InputError says what differs from the conditions that they were begun under; with `restart`
    they are removed instead, and the log says so. All ranks come here, and the first decides.
    """
    differing = _differences(checkpoints, now) if ranks.first else ""
    (others,) = ranks.any(bool(differing))
    if others and not restart:
        raise InputError(
            "training.restart",
            f"{checkpoints.parent} was begun with {differing or 'others'}, and going on would give "
            "weights that neither gives: run it as it was begun, or begin it anew with "
            "--training.restart or without its folder",
        )
    if ranks.first:
        if others:
            log.warning("%s: begun anew, it was begun with %s", checkpoints.parent, differing)
            files.remove_folder(checkpoints)
        if not (checkpoints / RECORD).exists():
            files.write_json(checkpoints / RECORD, now)
    ranks.wait()


def _differences(checkpoints: Path, now: Mapping[str, str]) -> str:
    """What of the conditions is not as it was, in words; empty where nothing was begun yet."""
    path = checkpoints / RECORD
    if not path.exists():
        begun = any(checkpoints.glob("*/[0-9]*"))
        return "a textvae that wrote no conditions.json" if begun else ""
    before = json.loads(path.read_bytes())
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return ", ".join(
        f"{name} {before.get(name, 'unknown')} (now {now.get(name, 'unknown')})" for name in names
    )
