"""The softmax over the vocabulary: most of the arithmetic of a step, and most of its memory.

A few hundred rows at a time, so that no copy of all logits is ever made; each piece becomes its
own gradient in place while it is still in the cache.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from textvae.model.products import product_type

# Rows whose logits exist at once; a GPU wants more of them than a cache holds.
ROWS, GPU_ROWS = 512, 16384
TOLERANCE = 1e-5
"""Between the nats of C and of torch on the probe, which are about 10, and between errors."""


def token_nats(written: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """(rows, embed), (vocab, embed), (vocab,), (rows,) -> (rows,) nats of each id, in float32."""
    parts = [
        functional.cross_entropy(
            functional.linear(some, weight, bias).float(), wanted, reduction="none"
        )
        for some, wanted in _pieces(written, ids)
    ]
    return torch.cat(parts)


def total_nats(written: Tensor, weight: Tensor, bias: Tensor, ids: Tensor, library: Any) -> Tensor:
    """The sum of `token_nats`, (), whose gradients are made while the logits are there.

    `library`: from `native`; None leaves all to torch.
    """
    total: Tensor = _TotalNats.apply(written, weight, bias, ids, library)  # type: ignore[no-untyped-call]
    return total


def softmax_is_right(library: Any) -> bool:
    """Whether C and torch agree, in float32 and bfloat16."""
    generator = torch.Generator().manual_seed(0)
    given = 4 * torch.randn(9, 83, generator=generator)
    ids = torch.randint(83, (9,), generator=generator)
    for kind in (torch.float32, torch.bfloat16):
        found, wanted = (given.to(kind, copy=True) for _ in range(2))
        nats, known = errors(found, ids, library), errors(wanted, ids, None)
        # Errors are 1 at most; in bfloat16 one may round to the number beside torch's.
        tolerance = max(TOLERANCE, torch.finfo(kind).eps / 2)
        right = torch.allclose(found.float(), wanted.float(), rtol=0, atol=tolerance)
        if not (right and torch.allclose(nats, known, rtol=0, atol=TOLERANCE)):
            return False
    return True


def _pieces(written: Tensor, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The rows and their ids, a piece at a time."""
    rows = GPU_ROWS if written.is_cuda else ROWS
    return list(zip(torch.split(written, rows), torch.split(ids, rows), strict=True))


def errors(logits: Tensor, ids: Tensor, library: Any) -> Tensor:
    """(rows, vocab), (rows,) -> (rows,) nats of each id, in float32; the logits become what they
    are wrong by, their softmax less 1 at the id."""
    rows, vocab = logits.shape
    low = logits.dtype == torch.bfloat16
    fits = (low or logits.dtype == torch.float32) and logits.device.type == "cpu"
    if library is None or not fits:
        wide = torch.promote_types(logits.dtype, torch.float32)
        shares = logits if logits.dtype == wide else torch.empty_like(logits, dtype=wide)
        torch.log_softmax(logits, 1, dtype=wide, out=shares)
        places = torch.arange(rows, device=logits.device)
        nats = -shares[places, ids]
        shares.exp_()[places, ids] -= 1
        logits.copy_(shares)
        return nats
    assert logits.is_contiguous(), "C reads rows one after the other"
    nats, threads = torch.empty(rows), torch.get_num_threads()
    room = torch.empty(threads, vocab) if low else None
    at_room = None if room is None else room.data_ptr()
    read = logits.data_ptr(), ids.data_ptr(), at_room, nats.data_ptr()
    library.softmax_errors(threads, rows, vocab, *read)
    return nats


class _TotalNats(torch.autograd.Function):
    """(rows, embed), (vocab, embed), (vocab,), (rows,) -> (); logits become their gradients."""

    @staticmethod
    def forward(
        ctx: Any, written: Tensor, weight: Tensor, bias: Tensor, ids: Tensor, library: Any
    ) -> Tensor:
        low = product_type(weight)
        low_written, low_weight, low_bias = written.to(low), weight.to(low), bias.to(low)
        by_written = torch.empty_like(low_written)
        by_weight, by_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        total = weight.new_zeros(())
        pieces = _pieces(low_written, ids)
        # One buffer for all pieces: fresh ones of this size would cost the system's time.
        room = low_written.new_empty(len(pieces[0][1]), len(weight))
        for (some, wanted), by_some in zip(pieces, torch.split(by_written, len(room)), strict=True):
            logits = room[: len(wanted)]
            torch.addmm(low_bias, some, low_weight.t(), out=logits)
            total += errors(logits, wanted, library).sum()
            by_bias += logits.sum(0, dtype=bias.dtype)
            torch.mm(logits, low_weight, out=by_some)
            by_weight += logits.t() @ some
        ctx.save_for_backward(by_written, by_weight, by_bias)
        ctx.written_type = written.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor) -> tuple[Tensor | None, ...]:
        by_written, by_weight, by_bias = ctx.saved_tensors
        scaled = (by_written * by_total).to(ctx.written_type)
        return scaled, by_weight * by_total, by_bias * by_total, None, None
