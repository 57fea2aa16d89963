"""A checkpoint is a folder that appears at once: weights, optimizer, and random states.

Nothing is pickled. The sampler has no state: batches are a function of (seed, epoch, step).
"""

import json
import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from textvae import files
from textvae.model.schedules import KLController
from textvae.sealed import SUMS, read_checkpoint_files, sums_of
from textvae.training.ranks import Ranks

log = logging.getLogger(__name__)

# Two, so that damage to the newest checkpoint costs the time between two and not the run.
CHECKPOINTS_MAX = 2


class Progress(NamedTuple):
    """Where a phase of training stands."""

    step: int
    """Steps done."""
    controller: KLController
    """State of the controller of the KL."""
    best_nats: float = math.inf
    """Score of the weights in the file of the best; infinity while there is no such file."""


def save_checkpoint(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    ranks: Ranks,
) -> None:
    """Publish `folder/<step>` and remove all but the two newest; an OSError changes nothing.

    All ranks must call it; the first writes, and all return when it has.
    """
    generators = ranks.gather(generator.get_state())
    if ranks.first:
        _publish(folder, progress, model, optimizer, generators)
    ranks.wait()


def _publish(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generators: list[Tensor],
) -> None:
    """Write the folder of this step, unless it exists."""
    target = folder / f"{progress.step:08d}"
    if target.exists():
        return
    state = {
        "step": progress.step,
        "holder": progress.controller._asdict(),
        "best_nats": None if math.isinf(progress.best_nats) else progress.best_nats,
        "generators": [state.numpy().tobytes().hex() for state in generators],
    }
    parts = {
        "model.safetensors": save(_cpu_copies(model.state_dict())),
        "optimizer.safetensors": save(_optimizer_tensors(model, optimizer)),
        "state.json": files.canonical_json(state),
    }
    with files.new_folder(target) as new:
        for name, content in parts.items():
            files.write_bytes(new / name, content)
        files.write_bytes(new / SUMS, sums_of(parts))
    for old in sorted(folder.glob("[0-9]*"))[:-CHECKPOINTS_MAX]:
        files.remove_folder(old)


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    ranks: Ranks,
) -> Progress | None:
    """Restore the newest complete checkpoint and return its progress; None where there is none.

    Damaged checkpoints are removed, and the log says so.
    """
    if ranks.first:
        for candidate in sorted(folder.glob("[0-9]*"), reverse=True):
            if read_checkpoint_files(candidate) is not None:
                break
            log.warning("%s is damaged and removed; going back to the one before it", candidate)
            files.remove_folder(candidate)
    ranks.wait()
    for candidate in sorted(folder.glob("[0-9]*"), reverse=True)[:1]:
        parts = read_checkpoint_files(candidate)
        assert parts is not None, f"{candidate} was verified a moment ago"
        state: dict[str, Any] = json.loads(parts["state.json"])
        model.load_state_dict(load(parts["model.safetensors"]))
        _restore_optimizer(model, optimizer, load(parts["optimizer.safetensors"]))
        bits = bytearray.fromhex(state["generators"][ranks.number])
        generator.set_state(torch.frombuffer(bits, dtype=torch.uint8))
        best = math.inf if state["best_nats"] is None else state["best_nats"]
        return Progress(state["step"], KLController(**state["holder"]), best)
    return None


def save_best(path: Path, model: nn.Module) -> None:
    """Write the model's weights as the best so far; a kill leaves the old file or the new one.

    A run that resumes from an earlier checkpoint computes the same weights again and writes the
    same bytes, so the file is not part of the checkpoint.
    """
    files.write_bytes(path, save(_cpu_copies(model.state_dict())))


def load_best(path: Path, model: nn.Module) -> None:
    """Load the best weights of the run into the model."""
    model.load_state_dict(load(path.read_bytes()))


def _cpu_copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of the tensors on the CPU, each contiguous and in memory of its own."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as tensors named `<parameter>|<key>`."""
    flat = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            flat[f"{name}|{key}"] = value.detach().cpu().clone().contiguous()
    return flat


def _restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]
) -> None:
    """Put tensors named `<parameter>|<key>` back into the optimizer."""
    parameters = dict(model.named_parameters())
    for name, value in flat.items():
        parameter, key = name.rsplit("|", 1)
        optimizer.state[parameters[parameter]][key] = value.to(parameters[parameter].device)
