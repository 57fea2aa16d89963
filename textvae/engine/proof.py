"""The self-test at load: does a row's arithmetic on this machine depend on the rows beside it?

Library, processor and number of threads decide that, so it is tried where the model will run, with
the model that will run.
"""

import logging
from typing import NamedTuple

import torch

from textvae.engine.loaded import Loaded
from textvae.model.exact import ExactDecoder, LatentInputs, padded

log = logging.getLogger(__name__)

STEPS = 4


class Arithmetic(NamedTuple):
    """What the self-test found."""

    buckets: tuple[int, ...]
    exact: bool
    """Whether rows are the same to the bit beside any neighbours."""
    words: str
    """For GetServerInfo."""


def prove(loaded: Loaded) -> Arithmetic:
    """Choose the buckets in which rows do not depend on their neighbours.

    All sizes if they agree; else the largest alone, if a row's place in it does not matter; else
    that with `exact` false, said in the log and to every client that asks.
    """
    with torch.inference_mode():
        if _agree(loaded, loaded.buckets):
            sizes = ", ".join(map(str, loaded.buckets))
            return Arithmetic(loaded.buckets, True, f"fp32, rows exact in buckets of {sizes}")
        largest = loaded.buckets[-1:]
        if _agree(loaded, largest):
            return Arithmetic(largest, True, f"fp32, rows exact in one bucket of {largest[0]}")
    log.warning(
        "rows depend on their neighbours on this machine; equal requests may differ in bits"
    )
    return Arithmetic(loaded.buckets, False, "fp32, rows may differ in their last bits")


def _agree(loaded: Loaded, buckets: tuple[int, ...]) -> bool:
    """Whether probe rows give the same bits in every bucket, in any place."""
    largest = buckets[-1]
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(largest, loaded.latent, generator=generator)
    vocab = len(loaded.decoder.bias)
    tokens = torch.randint(4, vocab, (largest, STEPS), generator=generator)
    lengths = torch.randint(1, STEPS + 1, (largest,), generator=generator)
    wanted = _traces(loaded, latents, tokens, lengths, largest)
    for size in buckets:
        for rows in {1, size // 2 + 1, size}:
            part = _traces(loaded, latents[:rows], tokens[:rows], lengths[:rows], size)
            if not torch.equal(part, wanted[:rows]):
                return False
        order = torch.randperm(largest, generator=generator)[:size]
        turned = _traces(loaded, latents[order], tokens[order], lengths[order], size)
        if not torch.equal(turned, wanted[order]):
            return False
    return True


def _traces(
    loaded: Loaded, latents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor, size: int
) -> torch.Tensor:
    """(rows, latent), (rows, steps), (rows,) -> (rows, all numbers that a client could see)."""
    rows = len(latents)
    posterior = loaded.encoder.encode(tokens, tokens.flip(1), lengths, (size,))
    return torch.cat(
        [posterior.mean, posterior.logvar, _logits(loaded.decoder, latents, tokens, size)[:rows]], 1
    )


def _logits(
    decoder: ExactDecoder, latents: torch.Tensor, tokens: torch.Tensor, size: int
) -> torch.Tensor:
    """(rows, latent), (rows, steps) -> (size, vocab) after the steps."""
    state, inputs = decoder.start(padded(latents, size))
    fed = padded(tokens, size)
    logits = torch.empty(0)
    for step in range(tokens.shape[1]):
        logits, state = decoder.step(fed[:, step], state, LatentInputs(*inputs))
    return logits
