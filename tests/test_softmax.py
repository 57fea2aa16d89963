"""The softmax layer, made in pieces, is the one that torch makes in one."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from textvae.model.softmax import ROWS, token_nats, total_nats


def layer(rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs (rows, 16), weight (50, 16) and bias (50,) that want gradients, and ids (rows,)."""
    random = torch.Generator().manual_seed(rows)
    written, weight = (torch.randn(size, 16, generator=random) for size in (rows, 50))
    bias, ids = torch.randn(50, generator=random), torch.randint(50, (rows,), generator=random)
    return written.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), ids


def textbook(written: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """(rows,) nats, all logits at once."""
    logits = functional.linear(written, weight, bias)
    return functional.cross_entropy(logits.float(), ids, reduction="none")


@pytest.mark.parametrize("rows", [1, ROWS, 2 * ROWS + 3])
def test_pieces_have_the_nats_and_gradients_of_the_whole(rows: int) -> None:
    *wanting, ids = layer(rows)
    nats, total = textbook(*wanting, ids), total_nats(*wanting, ids)
    torch.testing.assert_close(token_nats(*wanting, ids), nats)
    torch.testing.assert_close(total, nats.sum())
    for ours, theirs in zip(
        torch.autograd.grad(total / rows, wanting),
        torch.autograd.grad(nats.mean(), wanting),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_in_bf16_only_the_products_lose_digits() -> None:
    *wanting, ids = layer(ROWS + 5)
    with torch.autocast("cpu", torch.bfloat16):
        total = total_nats(*wanting, ids)
    nats = textbook(*wanting, ids)
    assert total.dtype == torch.float32
    assert float(total.detach()) == pytest.approx(float(nats.detach().sum()), rel=2e-3)
    for ours, theirs in zip(
        torch.autograd.grad(total, wanting), torch.autograd.grad(nats.sum(), wanting), strict=True
    ):
        assert ours.dtype == torch.float32
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02
