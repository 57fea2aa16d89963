"""Several processes that learn one model together: the ranks that torchrun starts.

Every rank holds all weights and learns from every n-th sentence of each batch; the gradients are
averaged after it, so that a step is the step of the whole batch. Ranks share one disk: the first
writes, all read. The same number of ranks gives the same bits.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from textvae.errors import InputError
from textvae.text.batches import Batch

# Their dropout and noise must not be the same; far apart, so that seed 1 is nobody's second rank.
SEED_STRIDE = 1_000_003


class Ranks(NamedTuple):
    """Which of how many processes this is."""

    number: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.number == 0

    def share_of(self, batch: Batch) -> Batch:
        """The sentences of a batch that this rank learns from; InputError where there is none."""
        if len(batch.rows) < self.world:
            few = f"a batch has {len(batch.rows)} sentences for {self.world} processes"
            raise InputError("training.batch", f"must give each process one, {few}")
        part = slice(self.number, None, self.world)
        return Batch(batch.tokens[part], batch.lengths[part], batch.rows[part])

    def average(self, model: nn.Module, share: float) -> None:
        """Make each gradient that of the whole batch; `share` of it were this rank's sentences."""
        if self.world == 1:
            return
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients]) * share
        distributed.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        for buffer in model.buffers():  # the running figures of a BatchNorm
            distributed.broadcast(buffer, 0)

    def any(self, *wishes: bool) -> tuple[bool, ...]:
        """Whether any rank wishes it, for each of the wishes; the same answer on all ranks."""
        if self.world == 1:
            return wishes
        asked = torch.tensor(wishes, dtype=torch.uint8)
        distributed.all_reduce(asked, distributed.ReduceOp.MAX)
        return tuple(map(bool, asked.tolist()))

    def gathered(self, state: Tensor) -> list[Tensor]:
        """Each rank's tensor of this shape, in order, on all ranks."""
        if self.world == 1:
            return [state]
        states = [torch.empty_like(state) for _ in range(self.world)]
        distributed.all_gather(states, state)
        return states

    def wait(self) -> None:
        """Go on when all ranks are here, and what the first wrote before is on the disk."""
        if self.world > 1:
            distributed.barrier()


@contextlib.contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Inside, this process is one of those that torchrun started; alone without torchrun."""
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
    """Which of the joined processes this is."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Ranks()
    return Ranks(distributed.get_rank(), distributed.get_world_size())
