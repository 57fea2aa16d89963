"""Matrix products in C: the right ones, and each row its own."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.compiled import load_native
from textvae.model.products import (
    INPUTS_MAX,
    PANEL,
    ROW_MAX,
    Linear,
    Panels,
    pack_onednn,
    pack_panels,
    quantize_int8,
)

COUNTS = (*range(1, 27), 64)


@pytest.fixture
def library() -> Any:
    """The compiled functions."""
    return load_native()


def random_layer(outputs: int, inputs: int, bias: bool = True) -> Linear:
    """A layer whose outputs are about 1."""
    generator = torch.Generator().manual_seed(outputs * 1000 + inputs)
    weight = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
    return Linear(weight, torch.randn(outputs, generator=generator) if bias else None)


def rows_of(count: int, inputs: int) -> Tensor:
    """(count, inputs) of sizes from 1/100 to 100, a size a row."""
    generator = torch.Generator().manual_seed(count)
    sizes = torch.logspace(-2, 2, count)[:, None]
    return torch.randn(count, inputs, generator=generator) * sizes


def product_in_float64(layer: Linear, rows: Tensor) -> Tensor:
    """Return the product in double precision."""
    bias = 0.0 if layer.bias is None else layer.bias.double()
    return rows.double() @ layer.weight.double().T + bias


class NarrowProcessor:
    """The compiled functions on a processor with narrower vectors."""

    def __init__(self, library: Any, lanes: int) -> None:
        self.library, self.lanes = library, lanes

    def lanes_best(self) -> int:
        """As if no wider ones were there."""
        return self.lanes

    def multiply(self, kind: int, lanes: int, *rest: Any) -> None:
        """By these vectors."""
        self.library.multiply(kind, lanes, *rest)


def all_widths(library: Any) -> list[NarrowProcessor]:
    """The compiled functions for each width of vectors that this processor has."""
    return [
        NarrowProcessor(library, lanes) for lanes in (4, 8, 16) if lanes <= library.lanes_best()
    ]


@pytest.mark.parametrize("inputs", [1, 32, 127, 128, 129, 512])
@pytest.mark.parametrize("outputs", [1, 16, 50, 200])
def test_a_product_is_that_of_the_textbook(library: Any, outputs: int, inputs: int) -> None:
    """For every rest that is left after whole panels, tiles and blocks, at every width."""
    layer = random_layer(outputs, inputs)
    for each in all_widths(library):
        product = pack_panels(layer, each)
        for count in COUNTS:
            rows = rows_of(count, inputs)
            found, wanted = product(rows), product_in_float64(layer, rows)
            assert found.shape == (count, outputs)
            assert found.is_contiguous()
            assert ((found - wanted).abs() / (1 + rows.norm(dim=1))[:, None]).max() < 1e-6


def test_a_layer_without_a_bias_adds_none(library: Any) -> None:
    layer = random_layer(20, 8, bias=False)
    rows = rows_of(3, 8)
    torch.testing.assert_close(pack_panels(layer, library)(rows), rows @ layer.weight.T)


def test_rows_may_be_parts_of_wider_ones(library: Any) -> None:
    """As a state next to columns that are not read."""
    layer, wide = random_layer(40, 64), rows_of(9, 100)
    rows = wide[:, 3:67]
    for product in (pack_panels(layer, library), quantize_int8(layer, library)):
        assert torch.equal(product(rows), product(rows.contiguous()))


@pytest.mark.parametrize("make", [pack_panels, quantize_int8])
def test_products_are_batch_invariant(library: Any, make: Any) -> None:
    """To the bit: alone, among any number, at any index, with any number of threads."""
    threads = torch.get_num_threads()
    for each in all_widths(library):
        product = make(random_layer(1000, 512), each)
        rows = rows_of(64, 512)
        together = product(rows)
        for count in COUNTS:
            assert torch.equal(product(rows[:count]), together[:count])
            assert torch.equal(product(rows[-count:]), together[-count:])
        try:
            torch.set_num_threads(1)
            assert torch.equal(product(rows), together)
            torch.set_num_threads(3)
            assert torch.equal(product(rows), together)
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize("inputs", [2, 128, 512])
@pytest.mark.parametrize("outputs", [1, 50, 200])
def test_int8_loses_what_rounding_weights_and_rows_loses(
    library: Any, outputs: int, inputs: int
) -> None:
    """Half a step of each output's weights and of each row; the sums themselves are exact."""
    layer = random_layer(outputs, inputs)
    for each in all_widths(library):
        product = quantize_int8(layer, each)
        for count in COUNTS:
            rows = rows_of(count, inputs)
            by_weights = layer.weight.abs().amax(1) / 127 / 2
            by_rows = rows.abs().amax(1) / ROW_MAX / 2
            most = rows.abs().sum(1)[:, None] * by_weights
            most = most + layer.weight.abs().sum(1) * by_rows[:, None] * 1.01
            error = (product(rows) - product_in_float64(layer, rows)).abs()
            assert (error <= most + 1e-5 * (1 + rows.norm(dim=1))[:, None]).all()


def test_int8_of_weights_and_rows_that_are_whole_is_exact(library: Any) -> None:
    """At the largest numbers and the most inputs there may be: nothing overflows."""
    inputs = INPUTS_MAX - INPUTS_MAX % 2
    layer = Linear(torch.full((17, inputs), 127.0))
    layer.weight[3] = -127.0
    rows = torch.full((2, inputs), float(ROW_MAX))
    rows[1] = 0.0
    wanted = product_in_float64(layer, rows).float()
    for each in all_widths(library):
        assert torch.equal(quantize_int8(layer, each)(rows), wanted)


def test_int8_takes_only_what_it_can_sum() -> None:
    for inputs in (3, INPUTS_MAX + 2 - INPUTS_MAX % 2):
        with pytest.raises(NotImplementedError, match=f"even number up to 2064, not {inputs}"):
            quantize_int8(Linear(torch.ones(4, inputs)), None)


def test_weights_are_laid_out_in_whole_panels() -> None:
    panels = pack_panels(random_layer(PANEL + 1, 6), None)
    assert isinstance(panels, Panels)
    assert panels.weight.shape == (2, 6, PANEL)
    assert torch.equal(panels.weight[1, :, 1:], torch.zeros(6, PANEL - 1))


def test_onednn_multiplies_in_bf16_what_it_is_given_in_fp32() -> None:
    """Its products lose digits, and what comes out is float32."""
    layer, rows = random_layer(48, 64), rows_of(5, 64)
    try:
        product = pack_onednn(layer, 64, torch.bfloat16)
    except (AttributeError, NotImplementedError, RuntimeError):
        pytest.skip("oneDNN has no bf16 here")
    found, wanted = product(rows), product_in_float64(layer, rows).float()
    assert found.dtype == torch.float32
    assert 1e-4 < float((found - wanted).norm() / wanted.norm()) < 1e-2
