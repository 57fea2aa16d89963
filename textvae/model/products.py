"""Matrix products of the network as it is served, by torch, by oneDNN and by our own C.

A product may round a row differently when the batch has other rows. In panels, by our own C, it
never does: each output is summed in the order of its inputs. With weights that oneDNN has laid out
for many rows it does not either, as far as is known; torch's own product does.
"""

from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

mkldnn = torch.ops.mkldnn

PANEL = 16
"""Outputs that C computes side by side."""
FLOAT32, INT8 = 0, 1
LANES_MIN = 8
"""Narrower vectors, in floats, leave C slower than oneDNN."""
WEIGHT_MAX = 127
"""Largest weight in int8."""
ROW_MAX = 8191
"""Largest integer of a quantized row: 14 bits, so that the weights alone lose digits."""
INPUTS_MAX = 2**31 // (WEIGHT_MAX * ROW_MAX)
"""Most inputs in int8: the sum of so many products fits 32 bits."""
TOLERANCE = 1e-5
"""Largest difference between C and torch on the probe, whose outputs are about 1."""


def product_type(values: Tensor) -> torch.dtype:
    """Return the type of matrix products of `values` here: that of autocast, or their own."""
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
        """Return the number of floats of a row."""
        return self.weight.shape[1]

    def __call__(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs)."""
        return functional.linear(rows, self.weight, self.bias)

    def to(self, kind: torch.dtype) -> "Linear":
        """Return the same layer in another type."""
        return Linear(self.weight.to(kind), None if self.bias is None else self.bias.to(kind))


class PackedLinear(NamedTuple):
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


class ProductFunctions(Protocol):
    """The compiled functions of products.c. Pointers are addresses, None is NULL."""

    def multiply(
        self,
        kind: int,
        lanes: int,
        threads: int,
        count: int,
        inputs: int,
        panels: int,
        rows: int,
        row_stride: int,
        weight: int,
        bias: int,
        scale: int | None,
        integer_max: float,
        integers: int | None,
        row_scale: int | None,
        out: int,
        /,
    ) -> None:
        """Multiply rows by panels of weights."""

    def lanes_best(
        self,
    ) -> int:
        """Return the widest vectors of this processor, in floats."""


class Panels(NamedTuple):
    """A linear layer laid out for `products.c`, in float32 or int8."""

    library: ProductFunctions
    weight: Tensor
    """(panels, inputs, PANEL) float32, or (panels, inputs / 2, PANEL, 2) int8"""
    bias: Tensor
    """(panels * PANEL,)"""
    inputs: int
    outputs: int
    scale: Tensor | None = None
    """(panels * PANEL,) the scale of each output's weights in int8; None in float32."""

    def __call__(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs)."""
        out = torch.empty(len(rows), len(self.weight) * PANEL)
        self.into(rows, out)
        return out[:, : self.outputs].contiguous()

    def into(self, rows: Tensor, out: Tensor) -> None:
        """Multiply (rows, inputs) into `out` (rows, panels * PANEL)."""
        assert rows.stride(1) == 1, "C reads a row's floats one after the other"
        assert rows.dtype == torch.float32, f"C reads float32, not {rows.dtype}"
        count, panels = len(rows), len(self.weight)
        assert out.is_contiguous(), "C writes rows one after the other"
        assert out.shape == (count, panels * PANEL), f"{panels} panels do not fit {out.shape}"
        kind, scale, integers, row_scale = FLOAT32, None, None, None
        if self.scale is not None:
            buffers = torch.empty(count, self.inputs, dtype=torch.int16), torch.empty(count)
            kind, scale = INT8, self.scale.data_ptr()
            integers, row_scale = (buffer.data_ptr() for buffer in buffers)
        self.library.multiply(
            kind,
            self.library.lanes_best(),
            torch.get_num_threads(),
            count,
            self.inputs,
            panels,
            rows.data_ptr(),
            rows.stride(0),
            self.weight.data_ptr(),
            self.bias.data_ptr(),
            scale,
            float(ROW_MAX),
            integers,
            row_scale,
            out.data_ptr(),
        )


Product = Linear | PackedLinear | Panels


def pack_onednn(layer: Linear, rows: int, kind: torch.dtype = torch.float32) -> PackedLinear:
    """Return the layer, laid out by oneDNN for this many rows.

    Raises NotImplementedError, AttributeError or RuntimeError where torch has no oneDNN here.
    """
    low = layer.to(kind)
    weight = mkldnn._reorder_linear_weight(low.weight.contiguous(), rows)
    return PackedLinear(weight, low.bias, layer.inputs)


def pack_panels(layer: Linear, library: ProductFunctions) -> Panels:
    """Return the layer, laid out for C."""
    outputs, inputs = layer.weight.shape
    weight = _pad_panels(layer.weight).view(-1, PANEL, inputs).transpose(1, 2).contiguous()
    return Panels(library, weight, _bias(layer), inputs, outputs)


def quantize_int8(layer: Linear, library: ProductFunctions) -> Panels:
    """Return the layer with weights of 8 bits, a scale for each output.

    Raises NotImplementedError for an odd number of inputs or more than INPUTS_MAX.
    """
    outputs, inputs = layer.weight.shape
    if inputs % 2 or inputs > INPUTS_MAX:
        raise NotImplementedError(f"int8 takes an even number up to {INPUTS_MAX}, not {inputs}")
    rows = _pad_panels(layer.weight)
    scale = rows.abs().amax(1) / WEIGHT_MAX
    integers = (rows / scale.clamp_min(torch.finfo().tiny)[:, None]).round().to(torch.int8)
    weight = integers.view(-1, PANEL, inputs // 2, 2).transpose(1, 2).contiguous()
    return Panels(library, weight, _bias(layer), inputs, outputs, scale)


def _pad_panels(rows: Tensor) -> Tensor:
    """(outputs, ...) -> (panels * PANEL, ...), zeros after the outputs."""
    missing = -len(rows) % PANEL
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


def _bias(layer: Linear) -> Tensor:
    """Return the bias (panels * PANEL,), zeros where the layer has none."""
    bias = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return _pad_panels(bias)


def products_are_right(library: ProductFunctions) -> bool:
    """Return whether C and torch agree, for numbers of rows that take every path through C."""
    generator = torch.Generator().manual_seed(0)
    layer = Linear(torch.randn(83, 262, generator=generator) / 16, torch.randn(83))
    quantized = quantize_int8(layer, library)
    assert quantized.scale is not None, "int8 has scales"
    integers = quantized.weight.transpose(1, 2).reshape(-1, 262)[:83]
    weight_int8 = integers * quantized.scale[:83, None]
    for product, weight, tolerance in (
        (pack_panels(layer, library), layer.weight, TOLERANCE),
        (quantized, weight_int8, 20 * TOLERANCE + 4 / ROW_MAX),
    ):
        for count in range(1, 25):
            rows = torch.randn(count, 262, generator=generator)
            wanted = functional.linear(rows, weight, layer.bias)
            if not torch.allclose(product(rows), wanted, rtol=0, atol=tolerance):
                return False
    return True
