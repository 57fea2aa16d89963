"""The softmax over the vocabulary: most of the arithmetic of a step, and most of its memory.

A few hundred rows at a time, so that all logits never exist at once; each chunk becomes its own
gradient in place while it is still in the cache.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from textvae.model.products import product_type

# Rows whose logits exist at once; a GPU wants more of them than a cache holds.
ROWS, GPU_ROWS = 512, 16384
TOLERANCE = 1e-5
"""Largest difference between C and torch on the probe, in nats of about 10 and in errors."""


class SoftmaxFunctions(Protocol):
    """The compiled functions of softmax.c. Pointers are addresses, None is NULL."""

    def softmax_errors(
        self,
        threads: int,
        rows: int,
        vocab: int,
        logits: int,
        ids: int,
        buffer: int | None,
        nats: int,
        /,
    ) -> None:
        """Turn logits into their gradients, in place."""


def token_nats(outputs: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """(rows, embed), (vocab, embed), (vocab,), (rows,) -> (rows,) nats of each id, in float32."""
    parts = [
        functional.cross_entropy(
            functional.linear(some, weight, bias).float(), wanted, reduction="none"
        )
        for some, wanted in _chunks(outputs, ids)
    ]
    return torch.cat(parts)


def total_nats(
    outputs: Tensor, weight: Tensor, bias: Tensor, ids: Tensor, library: SoftmaxFunctions | None
) -> Tensor:
    """The sum of `token_nats`, (), whose gradients are computed while the logits exist.

    `library`: from `native`; None leaves all to torch.
    """
    total: Tensor = _TotalNats.apply(outputs, weight, bias, ids, library)  # type: ignore[no-untyped-call]
    return total


def softmax_is_right(library: SoftmaxFunctions) -> bool:
    """Return whether C and torch agree, in float32 and bfloat16."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(9, 83, generator=generator)
    ids = torch.randint(83, (9,), generator=generator)
    for kind in (torch.float32, torch.bfloat16):
        ours, reference = (logits.to(kind, copy=True) for _ in range(2))
        nats, reference_nats = errors(ours, ids, library), errors(reference, ids, None)
        # Errors are 1 at most; in bfloat16 one may round to the number next to torch's.
        tolerance = max(TOLERANCE, torch.finfo(kind).eps / 2)
        right = torch.allclose(ours.float(), reference.float(), rtol=0, atol=tolerance)
        if not (right and torch.allclose(nats, reference_nats, rtol=0, atol=TOLERANCE)):
            return False
    return True


def _chunks(outputs: Tensor, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the rows and their ids in chunks."""
    rows = GPU_ROWS if outputs.is_cuda else ROWS
    return list(zip(torch.split(outputs, rows), torch.split(ids, rows), strict=True))


def errors(logits: Tensor, ids: Tensor, library: SoftmaxFunctions | None) -> Tensor:
    """(rows, vocab), (rows,) -> (rows,) nats of each id, in float32; the logits become their
    gradient, softmax(logits) - 1 at the id."""
    rows, vocab = logits.shape
    low = logits.dtype == torch.bfloat16
    fits = (low or logits.dtype == torch.float32) and logits.device.type == "cpu"
    if library is None or not fits:
        wide = torch.promote_types(logits.dtype, torch.float32)
        shares = logits if logits.dtype == wide else torch.empty_like(logits, dtype=wide)
        torch.log_softmax(logits, 1, dtype=wide, out=shares)
        every = torch.arange(rows, device=logits.device)
        nats = -shares[every, ids]
        shares.exp_()[every, ids] -= 1
        logits.copy_(shares)
        return nats
    assert logits.is_contiguous(), "C reads rows one after the other"
    nats, threads = torch.empty(rows), torch.get_num_threads()
    buffer = torch.empty(threads, vocab) if low else None
    buffer_at = None if buffer is None else buffer.data_ptr()
    library.softmax_errors(
        threads, rows, vocab, logits.data_ptr(), ids.data_ptr(), buffer_at, nats.data_ptr()
    )
    return nats


class _TotalNats(torch.autograd.Function):
    """(rows, embed), (vocab, embed), (vocab,), (rows,) -> (); logits become their gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        outputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        ids: Tensor,
        library: SoftmaxFunctions | None,
    ) -> Tensor:
        low = product_type(weight)
        low_outputs, low_weight, low_bias = outputs.to(low), weight.to(low), bias.to(low)
        by_outputs = torch.empty_like(low_outputs)
        by_weight, by_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        total = weight.new_zeros(())
        chunks = _chunks(low_outputs, ids)
        # One buffer for all chunks: new ones of this size would cost the system's time.
        buffer = low_outputs.new_empty(len(chunks[0][1]), len(weight))
        for (some, wanted), by_some in zip(
            chunks, torch.split(by_outputs, len(buffer)), strict=True
        ):
            logits = buffer[: len(wanted)]
            torch.addmm(low_bias, some, low_weight.t(), out=logits)
            total += errors(logits, wanted, library).sum()
            by_bias += logits.sum(0, dtype=bias.dtype)
            torch.mm(logits, low_weight, out=by_some)
            by_weight += logits.t() @ some
        ctx.save_for_backward(by_outputs, by_weight, by_bias)
        ctx.outputs_type = outputs.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor) -> tuple[Tensor | None, ...]:
        by_outputs, by_weight, by_bias = ctx.saved_tensors
        scaled = (by_outputs * by_total).to(ctx.outputs_type)
        return scaled, by_weight * by_total, by_bias * by_total, None, None
