"""The softmax layer in chunks equals torch's softmax of all rows at once."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.compiled import load_native
from textvae.model.softmax import ROWS, errors, token_nats, total_nats


@pytest.fixture(params=["C", "torch"])
def library(request: pytest.FixtureRequest) -> Any:
    """The compiled functions, and None."""
    return load_native() if request.param == "C" else None


def layer(rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs (rows, 16), weight (50, 16) and bias (50,) that want gradients, and ids (rows,)."""
    random = torch.Generator().manual_seed(rows)
    outputs, weight = (torch.randn(size, 16, generator=random) for size in (rows, 50))
    bias, ids = torch.randn(50, generator=random), torch.randint(50, (rows,), generator=random)
    return outputs.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), ids


def textbook(outputs: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """(rows,) nats, all logits at once."""
    logits = functional.linear(outputs, weight, bias)
    return functional.cross_entropy(logits.float(), ids, reduction="none")


@pytest.mark.parametrize("rows", [1, ROWS, 2 * ROWS + 3])
def test_chunks_have_the_nats_and_gradients_of_all_rows_at_once(library: Any, rows: int) -> None:
    *wanting, ids = layer(rows)
    nats, total = textbook(*wanting, ids), total_nats(*wanting, ids, library)
    torch.testing.assert_close(token_nats(*wanting, ids), nats)
    torch.testing.assert_close(total, nats.sum())
    for ours, theirs in zip(
        torch.autograd.grad(total / rows, wanting),
        torch.autograd.grad(nats.mean(), wanting),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_in_bf16_only_the_products_lose_digits(library: Any) -> None:
    *wanting, ids = layer(ROWS + 5)
    with torch.autocast("cpu", torch.bfloat16):
        total = total_nats(*wanting, ids, library)
    nats = textbook(*wanting, ids)
    assert total.dtype == torch.float32
    assert float(total.detach()) == pytest.approx(float(nats.detach().sum()), rel=2e-3)
    for ours, theirs in zip(
        torch.autograd.grad(total, wanting), torch.autograd.grad(nats.sum(), wanting), strict=True
    ):
        assert ours.dtype == torch.float32
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocab", [1, 7, 16, 1003])
def test_logits_become_their_softmax_less_1_at_the_id(
    library: Any, kind: torch.dtype, vocab: int
) -> None:
    """To the last digit of their type, for sizes up to 50; and the nats are float32."""
    random = torch.Generator().manual_seed(vocab)
    logits = (torch.randn(5, vocab, generator=random) * torch.tensor([[0.1, 1, 5, 20, 50]]).T).to(
        kind
    )
    ids = torch.randint(vocab, (5,), generator=random)
    wanted = logits.double().softmax(1)
    known = -wanted.gather(1, ids[:, None])[:, 0].log()
    wanted[range(5), ids] -= 1
    nats = errors(logits, ids, library)
    assert nats.dtype == torch.float32
    torch.testing.assert_close(nats.double(), known, rtol=1e-6, atol=1e-6)
    # Rounded to the nearest, which is half a unit away at most.
    nearest = torch.finfo(kind).eps / 2
    torch.testing.assert_close(logits.double(), wanted, rtol=1.01 * nearest, atol=1e-6)


def test_logits_that_are_no_numbers_make_no_numbers(library: Any) -> None:
    """So that a run that has diverged is found out."""
    logits = torch.zeros(3, 40)
    logits[0, 7], logits[1, 3] = torch.nan, torch.inf
    nats = errors(logits, torch.tensor([7, 0, 1]), library)
    assert torch.equal(nats.isfinite(), torch.tensor([False, False, True]))
    assert torch.equal(logits.isfinite().all(1), torch.tensor([False, False, True]))


def test_errors_are_the_same_to_the_bit_with_any_number_of_threads(library: Any) -> None:
    logits, ids = torch.randn(37, 501), torch.arange(37)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            gradient = logits.clone()
            results.append((errors(gradient, ids, library), gradient))
    finally:
        torch.set_num_threads(threads)
    for nats, gradient in results[1:]:
        assert torch.equal(nats, results[0][0])
        assert torch.equal(gradient, results[0][1])
