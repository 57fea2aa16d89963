"""A checkpoint is a folder that appears whole: weights, optimizer, and every source of chance.

Nothing is pickled. The sampler needs no state: batches are a function of (seed, epoch, step).
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

# The one before stays, so that a newest checkpoint lost to the disk costs a minute and not the run.
KEPT = 2


class Progress(NamedTuple):
    """Where a phase of training stands."""

    step: int
    """Steps done."""
    controller: KLController
    """State of the controller of the KL."""
    best_nats: float = math.inf
    """Score of the weights in the best file; nothing is kept there yet at infinity."""


def save_checkpoint(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    ranks: Ranks,
) -> None:
    """Publish `folder/<step>`; leaves the two newest. An OSError leaves what was there.

    All ranks come here, the first writes, and all leave when it has.
    """
    generators = ranks.gathered(generator.get_state())
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
    """Write the folder, unless it is there."""
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
        "model.safetensors": save(_own_copy(model.state_dict())),
        "optimizer.safetensors": save(_optimizer_tensors(model, optimizer)),
        "state.json": files.canonical_json(state),
    }
    with files.new_folder(target) as new:
        for name, content in parts.items():
            files.write_bytes(new / name, content)
        files.write_bytes(new / SUMS, sums_of(parts))
    for old in sorted(folder.glob("[0-9]*"))[:-KEPT]:
        files.remove_folder(old)


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    ranks: Ranks,
) -> Progress | None:
    """Restore from the newest checkpoint that is whole; None where there is none."""
    if ranks.first:
        for candidate in sorted(folder.glob("[0-9]*"), reverse=True):
            if read_checkpoint_files(candidate) is not None:
                break
            log.warning("%s is damaged and removed; going back to the one before it", candidate)
            files.remove_folder(candidate)
    ranks.wait()
    for candidate in sorted(folder.glob("[0-9]*"), reverse=True)[:1]:
        parts = read_checkpoint_files(candidate)
        assert parts is not None, f"{candidate} was whole a moment ago"
        state: dict[str, Any] = json.loads(parts["state.json"])
        model.load_state_dict(load(parts["model.safetensors"]))
        _restore_optimizer(model, optimizer, load(parts["optimizer.safetensors"]))
        bits = bytearray.fromhex(state["generators"][ranks.number])
        generator.set_state(torch.frombuffer(bits, dtype=torch.uint8))
        best = math.inf if state["best_nats"] is None else state["best_nats"]
        return Progress(state["step"], KLController(**state["holder"]), best)
    return None


def save_best(path: Path, model: nn.Module) -> None:
    """Write the model's weights as the best so far; a kill leaves the old ones or the new.

    A run that goes on from a checkpoint before these weights comes by them again and writes the
    same bytes, so the file needs no place in the checkpoint.
    """
    files.write_bytes(path, save(_own_copy(model.state_dict())))


def load_best(path: Path, model: nn.Module) -> None:
    """Give the model the best weights of its run."""
    model.load_state_dict(load(path.read_bytes()))


def _own_copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each contiguous and in memory of its own."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as `<parameter>|<key>` tensors."""
    flat = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            flat[f"{name}|{key}"] = value.detach().cpu().clone().contiguous()
    return flat


def _restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]
) -> None:
    """Put `<parameter>|<key>` tensors back into the optimizer."""
    parameters = dict(model.named_parameters())
    for name, value in flat.items():
        parameter, key = name.rsplit("|", 1)
        optimizer.state[parameters[parameter]][key] = value.to(parameters[parameter].device)
