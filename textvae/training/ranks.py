"""Data-parallel training: the ranks that torchrun starts.

Every rank has all weights and learns from every n-th sentence of each batch; gradients are averaged
over ranks, so that a step is that of the full batch. Ranks share one disk: the first writes, all
read. The same number of ranks gives the same bits.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from textvae.errors import InputError
from textvae.text.batches import Batch

# Ranks need different dropout and noise; far apart, so that no seed in use is another's rank 1.
SEED_STRIDE = 1_000_003


class Ranks(NamedTuple):
    """The rank of this process among all that train together."""

    number: int = 0
    """Rank of this process, from 0."""
    world: int = 1
    """Processes in all."""

    @property
    def first(self) -> bool:
        """Return whether this is the process that writes."""
        return self.number == 0

    def share_of(self, batch: Batch) -> Batch:
        """Return the sentences of a batch that this rank learns from.

        Raise InputError where a rank would have none.
        """
        if len(batch.rows) < self.world:
            counts = f"a batch has {len(batch.rows)} sentences for {self.world} processes"
            raise InputError("training.batch", f"must give each process one, {counts}")
        part = slice(self.number, None, self.world)
        return batch.take(part)

    def average(self, model: nn.Module, share: float) -> None:
        """Replace each gradient by that of the full batch, of which this rank had `share`.

        The buffers become those of the first rank.
        """
        if self.world == 1:
            return
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients]) * share
        distributed.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        for buffer in model.buffers():  # the running statistics of a BatchNorm
            distributed.broadcast(buffer, 0)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return, for each flag, whether it is set on any rank; the same on all ranks."""
        if self.world == 1:
            return flags
        tensor = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return tuple(map(bool, tensor.tolist()))

    def gather(self, state: Tensor) -> list[Tensor]:
        """Return the tensors of all ranks, which have one shape, in order, on all ranks."""
        if self.world == 1:
            return [state]
        states = [torch.empty_like(state) for _ in range(self.world)]
        distributed.all_gather(states, state)
        return states

    def wait(self) -> None:
        """Wait until all ranks are here; what the first wrote before is then on the disk."""
        if self.world > 1:
            distributed.barrier()


@contextlib.contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started for the block; without torchrun there is one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield current_ranks()
    finally:
        distributed.destroy_process_group()


def current_ranks() -> Ranks:
    """Return this process' rank among the joined processes; the only one where none has joined."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Ranks()
    return Ranks(distributed.get_rank(), distributed.get_world_size())
