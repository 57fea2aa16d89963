"""A GRU that learns in C has the states and gradients of torch's own."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.compiled import load_native
from textvae.model import native, products
from textvae.model.products import PANEL
from textvae.model.recurrence import recurrence


@pytest.fixture
def library() -> Any:
    """The compiled functions."""
    return load_native()


def parts(
    batch: int, time: int, width: int = 7, hidden: int = 2 * PANEL
) -> tuple[nn.GRU, Tensor, Tensor, Tensor]:
    """A GRU, inputs and a start that want gradients, and what the states are weighed by."""
    torch.manual_seed(batch * 100 + time)
    gru = nn.GRU(width, hidden, batch_first=True)
    with torch.no_grad():
        for part in gru.parameters():
            part.mul_(3)
    inputs = torch.randn(batch, time, width, requires_grad=True)
    start = torch.randn(batch, hidden, requires_grad=True)
    return gru, inputs, start, torch.randn(batch, time, hidden)


def gradients(states: Tensor, weighed: Tensor, wanting: list[Tensor]) -> list[Tensor]:
    """Return the gradients of a sum in which every state has its own weight."""
    return list(torch.autograd.grad((states * weighed + states**2).sum(), wanting))


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (1, 5), (5, 1), (13, 9), (40, 30)])
@pytest.mark.parametrize("begun", [True, False])
def test_states_and_gradients_are_those_of_torch(
    library: Any, batch: int, time: int, begun: bool
) -> None:
    """To 1e-5 of their size; also without a start, which is one of zeros."""
    gru, inputs, start, weighed = parts(batch, time)
    wanting = [inputs, *gru.parameters(), *([start] if begun else [])]
    ours = recurrence(gru, inputs, start if begun else None, library)
    theirs = gru(inputs, start[None] if begun else None)[0]
    assert type(ours.grad_fn).__name__ != type(theirs.grad_fn).__name__, "torch did it"
    assert (ours - theirs).abs().max() < 1e-5
    for one, other in zip(
        gradients(ours, weighed, wanting), gradients(theirs, weighed, wanting), strict=True
    ):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_gradients_are_those_of_differences(library: Any) -> None:
    """Of the sum itself, in the direction of the gradient: nothing else says that it is right."""
    gru, inputs, start, weighed = parts(6, 5)

    def total(moved: Tensor) -> Tensor:
        return (recurrence(gru, moved, start, library).double() * weighed).sum()

    (found,) = torch.autograd.grad(total(inputs), inputs)
    step = 1e-2 * found / found.norm()
    with torch.no_grad():
        change = total(inputs + step) - total(inputs - step)
    assert float(change) == pytest.approx(2e-2 * float(found.norm()), rel=1e-3)


def test_parts_that_want_no_gradient_get_none(library: Any) -> None:
    """As where only the inputs are learned."""
    gru, inputs, _, _ = parts(3, 4)
    gru.requires_grad_(False)
    recurrence(gru, inputs, None, library).sum().backward()  # type: ignore[no-untyped-call]
    assert inputs.grad is not None
    assert all(part.grad is None for part in gru.parameters())


def test_states_are_the_same_to_the_bit_whether_gradients_are_wanted_or_not(library: Any) -> None:
    gru, inputs, start, _ = parts(9, 11)
    learned = recurrence(gru, inputs, start, library)
    with torch.no_grad():
        assert torch.equal(recurrence(gru, inputs, start, library), learned)
    with torch.inference_mode():
        assert torch.equal(recurrence(gru, inputs, start, library), learned)


def test_the_same_inputs_give_the_same_gradients_to_the_bit(library: Any) -> None:
    """A run that goes on after a kill rests on it."""
    gru, inputs, start, weighed = parts(40, 12)
    wanting = [inputs, start, *gru.parameters()]
    found = [gradients(recurrence(gru, inputs, start, library), weighed, wanting) for _ in range(3)]
    for one, *others in zip(*found, strict=True):
        assert all(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("hidden", [PANEL - 2, PANEL + 1])
def test_states_that_fill_no_panels_are_torchs(library: Any, hidden: int) -> None:
    gru, inputs, start, _ = parts(3, 4, hidden=hidden)
    assert torch.equal(recurrence(gru, inputs, start, library), gru(inputs, start[None])[0])


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (13, 9)])
def test_in_bf16_only_the_products_lose_digits(library: Any, batch: int, time: int) -> None:
    """States are float32, and states and gradients are those of float32 to bfloat16's digits."""
    gru, inputs, start, weighed = parts(batch, time)
    wanting = [inputs, start, *gru.parameters()]
    whole = recurrence(gru, inputs, start, library)
    with torch.autocast("cpu", torch.bfloat16):
        low = recurrence(gru, inputs, start, library)
    assert low.dtype == torch.float32
    assert type(low.grad_fn).__name__ == type(whole.grad_fn).__name__, "torch did it"
    assert 1e-5 < (low - whole).norm() / whole.norm() < 2e-2
    for one, other in zip(
        gradients(low, weighed, wanting), gradients(whole, weighed, wanting), strict=True
    ):
        assert one.dtype == torch.float32
        assert 1e-5 < (one - other).norm() / other.norm() < 3e-2


def test_in_bf16_each_steps_product_is_too(library: Any) -> None:
    """Where the inputs give nothing, it is all that can lose digits."""
    gru, inputs, start, _ = parts(13, 9)
    with torch.no_grad():
        gru.weight_ih_l0.zero_()
        gru.bias_ih_l0.zero_()
        whole = recurrence(gru, inputs, start, library)
        with torch.autocast("cpu", torch.bfloat16):
            assert (recurrence(gru, inputs, start, library) - whole).norm() > 1e-4 * whole.norm()


def test_without_c_torch_does_it() -> None:
    gru, inputs, start, _ = parts(3, 4)
    assert torch.equal(recurrence(gru, inputs, start, None), gru(inputs, start[None])[0])


def test_c_is_searched_for_once_and_taken_where_vectors_are_wide(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    native.native_to_learn.cache_clear()
    taken = native.native_to_learn()
    assert (taken is not None) == (library.lanes_best() >= products.LANES_MIN)
    assert native.native_to_learn() is taken
    monkeypatch.setattr(native, "LANES_MIN", 99)
    native.native_to_learn.cache_clear()
    assert native.native_to_learn() is None
    native.native_to_learn.cache_clear()
