"""Matrix products of the network as it is served, and the ways in which they are made.

A product may round a row differently beside other rows. In panels, by our own C, it never does:
each output is summed in the order of its inputs. With weights that oneDNN has laid out for many
rows it does not either, as far as is known; torch's own product does.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

mkldnn = torch.ops.mkldnn

PANEL = 16
"""Outputs that C makes side by side."""
FLOAT32, INT8 = 0, 1
LANES_MIN = 8
"""Narrower vectors, in floats, leave C slower than oneDNN."""
WEIGHT_MOST = 127
"""Of int8."""
ROW_MOST = 8191
"""Of a row's whole numbers: 14 bits, so that the weights alone lose digits."""
INPUTS_MAX = 2**31 // (WEIGHT_MOST * ROW_MOST)
"""Of int8: the sum of so many products fits 32 bits."""
TOLERANCE = 1e-5
"""Between C and torch on the probe, whose outputs are about 1."""


def product_type(values: Tensor) -> torch.dtype:
    """The type that matrix products of `values` have here: that of autocast, or their own."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


class Linear(NamedTuple):
    """A linear layer, multiplied by torch."""

    weight: Tensor
    """(outputs, inputs)"""
    bias: Tensor | None = None
    """(outputs,)"""

    @property
    def inputs(self) -> int:
        """Floats of a row."""
        return self.weight.shape[1]

    def __call__(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs)."""
        return functional.linear(rows, self.weight, self.bias)

    def to(self, kind: torch.dtype) -> "Linear":
        """The same layer in another type."""
        return Linear(self.weight.to(kind), None if self.bias is None else self.bias.to(kind))


class Packed(NamedTuple):
    """A linear layer in oneDNN's own layout, in float32 or bfloat16."""

    weight: Tensor
    bias: Tensor | None
    inputs: int

    def __call__(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), float32 both."""
        return self.narrow(rows.to(self.weight.dtype)).float()

    def narrow(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs) in the type of the weight."""
        weight, bias = self.weight, self.bias
        return cast(Tensor, mkldnn._linear_pointwise(rows, weight, bias, "none", [], ""))


class Panels(NamedTuple):
    """A linear layer laid out for `products.c`, in float32 or int8."""

    library: Any
    weight: Tensor
    """(panels, inputs, PANEL) float32, or (panels, inputs / 2, PANEL, 2) int8"""
    bias: Tensor
    """(panels * PANEL,)"""
    inputs: int
    outputs: int
    scale: Tensor | None = None
    """Of int8: (panels * PANEL,) what each output's weights are multiples of."""

    def __call__(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs)."""
        out = torch.empty(len(rows), len(self.weight) * PANEL)
        self.into(rows, out)
        return out[:, : self.outputs].contiguous()

    def into(self, rows: Tensor, out: Tensor) -> None:
        """(rows, inputs) -> out (rows, panels * PANEL), which is written."""
        assert rows.stride(1) == 1, "C reads a row's floats one after the other"
        assert rows.dtype == torch.float32, f"C reads float32, not {rows.dtype}"
        count, panels = len(rows), len(self.weight)
        assert out.is_contiguous(), "C writes rows one after the other"
        assert out.shape == (count, panels * PANEL), f"no room for {panels} panels: {out.shape}"
        kind, scale, whole, row_scale = FLOAT32, None, None, None
        if self.scale is not None:
            room = torch.empty(count, self.inputs, dtype=torch.int16), torch.empty(count)
            kind, scale, whole, row_scale = INT8, *map(Tensor.data_ptr, (self.scale, *room))
        self.library.multiply(
            *(kind, self.library.lanes_best(), torch.get_num_threads(), count, self.inputs),
            *(panels, rows.data_ptr(), rows.stride(0), self.weight.data_ptr()),
            *(self.bias.data_ptr(), scale, float(ROW_MOST), whole, row_scale, out.data_ptr()),
        )


Product = Linear | Packed | Panels


def pack_onednn(layer: Linear, rows: int, kind: torch.dtype = torch.float32) -> Packed:
    """The layer, laid out by oneDNN for this many rows.

    NotImplementedError, AttributeError or RuntimeError where torch has no oneDNN here.
    """
    low = layer.to(kind)
    weight = mkldnn._reorder_linear_weight(low.weight.contiguous(), rows)
    return Packed(weight, low.bias, layer.inputs)


def pack_panels(layer: Linear, library: Any) -> Panels:
    """The layer, laid out for C."""
    outputs, inputs = layer.weight.shape
    weight = _whole_panels(layer.weight).view(-1, PANEL, inputs).transpose(1, 2).contiguous()
    return Panels(library, weight, _bias(layer), inputs, outputs)


def quantize_int8(layer: Linear, library: Any) -> Panels:
    """The layer with weights of 8 bits, a scale for each output.

    NotImplementedError for an odd number of inputs or more than INPUTS_MAX.
    """
    outputs, inputs = layer.weight.shape
    if inputs % 2 or inputs > INPUTS_MAX:
        raise NotImplementedError(f"int8 takes an even number up to {INPUTS_MAX}, not {inputs}")
    rows = _whole_panels(layer.weight)
    scale = rows.abs().amax(1) / WEIGHT_MOST
    whole = (rows / scale.clamp_min(torch.finfo().tiny)[:, None]).round().to(torch.int8)
    weight = whole.view(-1, PANEL, inputs // 2, 2).transpose(1, 2).contiguous()
    return Panels(library, weight, _bias(layer), inputs, outputs, scale)


def _whole_panels(rows: Tensor) -> Tensor:
    """(outputs, ...) -> the same with zeros up to a whole number of panels."""
    missing = -len(rows) % PANEL
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


def _bias(layer: Linear) -> Tensor:
    """(panels * PANEL,), zeros where the layer has none."""
    bias = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return _whole_panels(bias)


def products_are_right(library: Any) -> bool:
    """Whether C and torch agree, for numbers of rows that take every way through C."""
    generator = torch.Generator().manual_seed(0)
    layer = Linear(torch.randn(83, 262, generator=generator) / 16, torch.randn(83))
    whole = quantize_int8(layer, library)
    assert whole.scale is not None, "int8 has scales"
    # What the weights of 8 bits are, as floats.
    kept = whole.weight.transpose(1, 2).reshape(-1, 262)[:83] * whole.scale[:83, None]
    for product, weight, tolerance in (
        (pack_panels(layer, library), layer.weight, TOLERANCE),
        (whole, kept, 20 * TOLERANCE + 4 / ROW_MOST),
    ):
        for count in range(1, 25):
            rows = torch.randn(count, 262, generator=generator)
            wanted = functional.linear(rows, weight, layer.bias)
            if not torch.allclose(product(rows), wanted, rtol=0, atol=tolerance):
                return False
    return True
