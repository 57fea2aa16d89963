"""A GRU that learns in C has the states and gradients of torch's own."""

import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.compiled import found_native
from textvae.model import native, products, recurrence
from textvae.model.products import PANEL

LOOKED_FOR = recurrence._library


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The compiled functions, taken whatever this processor's vectors are."""
    found = found_native()
    monkeypatch.setattr(recurrence, "_library", lambda: found)
    return found


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
    """Of a sum that tells every state from every other."""
    return list(torch.autograd.grad((states * weighed + states**2).sum(), wanting))


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (1, 5), (5, 1), (13, 9), (40, 30)])
@pytest.mark.parametrize("begun", [True, False])
def test_states_and_gradients_are_those_of_torch(batch: int, time: int, begun: bool) -> None:
    """To 1e-5 of their size; also without a start, which is one of zeros."""
    gru, inputs, start, weighed = parts(batch, time)
    wanting = [inputs, *gru.parameters(), *([start] if begun else [])]
    ours = recurrence.recurrence(gru, inputs, start if begun else None)
    theirs = gru(inputs, start[None] if begun else None)[0]
    assert type(ours.grad_fn).__name__ != type(theirs.grad_fn).__name__, "torch did it"
    assert (ours - theirs).abs().max() < 1e-5
    for one, other in zip(
        gradients(ours, weighed, wanting), gradients(theirs, weighed, wanting), strict=True
    ):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_gradients_are_those_of_differences() -> None:
    """Of the sum itself, in the direction of the gradient: nothing else says that it is right."""
    gru, inputs, start, weighed = parts(6, 5)

    def total(moved: Tensor) -> Tensor:
        return (recurrence.recurrence(gru, moved, start).double() * weighed).sum()

    (found,) = torch.autograd.grad(total(inputs), inputs)
    step = 1e-2 * found / found.norm()
    with torch.no_grad():
        change = total(inputs + step) - total(inputs - step)
    assert float(change) == pytest.approx(2e-2 * float(found.norm()), rel=1e-3)


def test_parts_that_want_no_gradient_get_none() -> None:
    """As where only the inputs are learned."""
    gru, inputs, _, _ = parts(3, 4)
    gru.requires_grad_(False)
    recurrence.recurrence(gru, inputs).sum().backward()  # type: ignore[no-untyped-call]
    assert inputs.grad is not None
    assert all(part.grad is None for part in gru.parameters())


def test_states_are_the_same_to_the_bit_whether_gradients_are_wanted_or_not() -> None:
    gru, inputs, start, _ = parts(9, 11)
    learned = recurrence.recurrence(gru, inputs, start)
    with torch.no_grad():
        assert torch.equal(recurrence.recurrence(gru, inputs, start), learned)
    with torch.inference_mode():
        assert torch.equal(recurrence.recurrence(gru, inputs, start), learned)


def test_the_same_inputs_give_the_same_gradients_to_the_bit() -> None:
    """A run that goes on after a kill rests on it."""
    gru, inputs, start, weighed = parts(40, 12)
    wanting = [inputs, start, *gru.parameters()]
    found = [
        gradients(recurrence.recurrence(gru, inputs, start), weighed, wanting) for _ in range(3)
    ]
    for one, *others in zip(*found, strict=True):
        assert all(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("hidden", [PANEL - 2, PANEL + 1])
def test_states_that_fill_no_panels_are_torchs(hidden: int) -> None:
    gru, inputs, start, _ = parts(3, 4, hidden=hidden)
    assert torch.equal(recurrence.recurrence(gru, inputs, start), gru(inputs, start[None])[0])


def test_in_bf16_torch_does_it() -> None:
    """There are no products in bf16 of ours."""
    gru, inputs, start, _ = parts(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = recurrence.recurrence(gru, inputs, start)
        assert torch.equal(found, gru(inputs, start[None])[0])


def test_c_is_looked_for_once_and_taken_where_vectors_are_wide() -> None:
    LOOKED_FOR.cache_clear()
    taken = LOOKED_FOR()
    assert importlib.util.find_spec(native.COMPILED) is not None
    assert (taken is not None) == (found_native().lanes_best() >= products.LANES_MIN)
    assert LOOKED_FOR() is taken
