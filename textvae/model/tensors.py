"""A batch of tokens as tensors on a device."""

from typing import Protocol

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


def tensors_of(batch: TokenBatch, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Return tokens (batch, time) and lengths (batch,) on the device."""
    return torch.from_numpy(batch.tokens).to(device), torch.from_numpy(batch.lengths).to(device)
