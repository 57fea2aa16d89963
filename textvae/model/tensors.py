"""A batch of tokens as tensors on a device."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class TokenBatch(Protocol):
    """Sentences of one batch as rectangular NumPy arrays, of any class."""

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """(batch, time): BOS, the sentence, EOS, then PAD."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(batch,) tokens of each sentence, BOS and EOS counted."""


class PairTensors(NamedTuple):
    """A batch of sentences to write, and what the encoder reads for each."""

    tokens: Tensor
    """(batch, time)"""
    lengths: Tensor
    """(batch,)"""
    read: tuple[Tensor, Tensor] | None
    """Tokens (batch, time) and lengths (batch,); None: the sentences themselves."""


class PairBatch(TokenBatch, Protocol):
    """A TokenBatch with what the encoder reads."""

    @property
    def read(self) -> TokenBatch | None:
        """A sentence for each of the batch; None for the batch itself."""


def pair_tensors_of(batch: PairBatch, device: str | torch.device) -> PairTensors:
    """Return a batch and what the encoder reads for it on the device."""
    read = tensors_of(batch.read, device) if batch.read else None
    return PairTensors(*tensors_of(batch, device), read)


def tensors_of(batch: TokenBatch, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Return tokens (batch, time) and lengths (batch,) on the device."""
    return torch.from_numpy(batch.tokens).to(device), torch.from_numpy(batch.lengths).to(device)
