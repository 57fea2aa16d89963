"""The softmax over the vocabulary: most of the arithmetic of a step, and most of its memory.

A few hundred rows at a time, so that no copy of all logits is ever made; each piece becomes its
own gradient in place while it is still in the cache.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Rows whose logits exist at once; a GPU wants more of them than a cache holds.
ROWS, GPU_ROWS = 512, 16384


def token_nats(written: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """(rows, embed), (vocab, embed), (vocab,), (rows,) -> (rows,) nats of each id, in float32."""
    parts = [
        functional.cross_entropy(
            functional.linear(some, weight, bias).float(), wanted, reduction="none"
        )
        for some, wanted in _pieces(written, ids)
    ]
    return torch.cat(parts)


def total_nats(written: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """The sum of `token_nats`, (), whose gradients are made while the logits are there."""
    total: Tensor = _TotalNats.apply(written, weight, bias, ids)  # type: ignore[no-untyped-call]
    return total


def _pieces(written: Tensor, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The rows and their ids, a piece at a time."""
    rows = GPU_ROWS if written.is_cuda else ROWS
    return list(zip(torch.split(written, rows), torch.split(ids, rows), strict=True))


def _product_type(values: Tensor) -> torch.dtype:
    """The type that matrix products of `values` have here: that of autocast, or their own."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


class _TotalNats(torch.autograd.Function):
    """(rows, embed), (vocab, embed), (vocab,), (rows,) -> (); logits become their gradients."""

    @staticmethod
    def forward(ctx: Any, written: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
        low = _product_type(weight)
        low_written, low_weight, low_bias = written.to(low), weight.to(low), bias.to(low)
        by_written = torch.empty_like(low_written)
        by_weight, by_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        total = weight.new_zeros(())
        pieces = _pieces(low_written, ids)
        # One buffer for all pieces: fresh ones of this size would cost the system's time.
        logits = low_written.new_empty(len(pieces[0][1]), len(weight))
        shares = logits if low == weight.dtype else torch.empty_like(logits, dtype=weight.dtype)
        places = torch.arange(len(logits), device=logits.device)
        for (some, wanted), by_some in zip(
            pieces, torch.split(by_written, len(logits)), strict=True
        ):
            rows = len(wanted)
            torch.addmm(low_bias, some, low_weight.t(), out=logits[:rows])
            error = shares[:rows]
            torch.log_softmax(logits[:rows], 1, dtype=error.dtype, out=error)
            total -= error[places[:rows], wanted].sum()
            error.exp_()[places[:rows], wanted] -= 1
            by_bias += error.sum(0)
            low_error = error.to(low)
            torch.mm(low_error, low_weight, out=by_some)
            by_weight += low_error.t() @ some
        ctx.save_for_backward(by_written, by_weight, by_bias)
        ctx.written_type = written.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        by_written, by_weight, by_bias = ctx.saved_tensors
        scaled = (by_written * by_total).to(ctx.written_type)
        return scaled, by_weight * by_total, by_bias * by_total, None
