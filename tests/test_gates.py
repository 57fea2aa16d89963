"""The gates of a GRU: the same numbers compiled and by torch, and batch-invariant."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.compiled import load_native
from textvae.model.gates import PooledStates, gru_gates


@pytest.fixture(params=["compiled", "torch"])
def library(request: pytest.FixtureRequest) -> Any:
    """Return the compiled functions, and None."""
    return None if request.param == "torch" else load_native()


def random_step(rows: int, hidden: int, width: int = 0) -> dict[str, Tensor]:
    """The parts of a step; the product is `width` wider than the gates need."""
    generator = torch.Generator().manual_seed(rows * 1000 + hidden)

    def numbers(*shape: int) -> Tensor:
        return 3 * torch.randn(shape, generator=generator)

    return {
        "table": numbers(20, 3 * hidden),
        "tokens": torch.randint(0, 20, (rows, 2), generator=generator)[:, 1],
        "extra": numbers(rows, 3 * hidden),
        "product": numbers(rows, 3 * hidden + width),
        "state": torch.tanh(numbers(rows, hidden)),
    }


@pytest.mark.parametrize("hidden", [1, 7, 8, 33, 512])
def test_a_step_is_that_of_the_textbook(library: Any, hidden: int) -> None:
    """Written out in double precision, for widths with and without a rest after whole vectors."""
    parts = random_step(6, hidden, width=5)
    by_input = (parts["table"][parts["tokens"]] + parts["extra"]).double().chunk(3, 1)
    product = parts["product"].double()[:, : 3 * hidden].chunk(3, 1)
    reset, update = (torch.sigmoid(by_input[n] + product[n]) for n in range(2))
    new = torch.tanh(by_input[2] + reset * product[2])
    wanted = (1 - update) * new + update * parts["state"]
    found = gru_gates(library, **parts)
    assert found.dtype == torch.float32
    assert (found - wanted).abs().max() < 2e-6


def test_states_are_those_of_the_gru_of_torch(library: Any) -> None:
    """Its own order of gates, with both biases."""
    torch.manual_seed(0)
    gru = nn.GRU(5, 9)
    inputs = torch.randn(4, 3, 5)
    wanted, _ = gru(inputs)
    state = torch.zeros(3, 9)
    with torch.no_grad():
        for time in range(4):
            table = inputs[time] @ gru.weight_ih_l0.T + gru.bias_ih_l0
            product = state @ gru.weight_hh_l0.T + gru.bias_hh_l0
            state = gru_gates(library, table, torch.arange(3), None, product, state)
            assert (state - wanted[time]).abs().max() < 1e-6


def test_a_row_is_the_same_alone_and_among_others(library: Any) -> None:
    """To the bit."""
    parts = random_step(9, 37)
    together = gru_gates(library, **parts)
    table = parts.pop("table")
    for row in range(9):
        own = {name: part[row : row + 1] for name, part in parts.items()}
        assert torch.equal(gru_gates(library, table, **own), together[row : row + 1])


def test_states_are_pooled_in_place(library: Any) -> None:
    """Their sum and their largest values; the state before is left alone."""
    parts = random_step(4, 11)
    before = parts["state"].clone()
    pooled = PooledStates(torch.full((4, 11), 2.0), torch.full((4, 11), 0.1))
    found = gru_gates(library, **parts, pooled=pooled)
    assert torch.equal(pooled.total, 2.0 + found)
    assert torch.equal(pooled.largest, found.clamp_min(0.1))
    assert torch.equal(parts["state"], before)


def test_extreme_numbers_close_the_gates_and_make_none_that_are_not_finite(library: Any) -> None:
    """Beyond what an exponential can hold."""
    table = torch.tensor([[900.0, -900.0, 900.0], [-900.0, 900.0, -900.0]])
    product, state = torch.full((2, 3), 50.0), torch.full((2, 1), 0.5)
    found = gru_gates(library, table, torch.arange(2), None, product, state)
    assert torch.allclose(found, torch.tensor([[1.0], [0.5]]), atol=1e-6)
