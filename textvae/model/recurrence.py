"""A GRU over whole sequences, as it learns.

In C where it was compiled, for float32 on the CPU and a state whose width is a multiple of PANEL:
the derivative is explicit, so that the weights' gradients are one product after all steps instead
of one a step. Elsewhere it is torch's own; the two agree to a few units in the last place. Under
autocast only the products are in bfloat16, by oneDNN; states and gates stay float32.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from textvae.model.products import (
    PANEL,
    Linear,
    ProductFunctions,
    pack_onednn,
    pack_panels,
    product_type,
)

TOLERANCE = 1e-5
"""Largest relative difference between C and torch on the probe."""


class RecurrenceFunctions(ProductFunctions, Protocol):
    """The compiled functions of recurrence.c, and those of its products. Pointers are addresses."""

    def gru_forwards(
        self,
        threads: int,
        rows: int,
        hidden: int,
        projected: int,
        product: int,
        state: int,
        following: int,
        gates: int,
        /,
    ) -> None:
        """Compute the states and gates of one step."""

    def gru_backwards(
        self,
        threads: int,
        rows: int,
        hidden: int,
        by_next: int,
        by_product: int,
        gates: int,
        state: int,
        by_state: int,
        by_gates: int,
        /,
    ) -> None:
        """Compute the gradients of one step."""


def recurrence(
    gru: nn.GRU, inputs: Tensor, start: Tensor | None, library: RecurrenceFunctions | None
) -> Tensor:
    """(batch, time, width), (batch, hidden) or None for zeros -> states (batch, time, hidden).

    `gru`: one layer, one direction, batch_first; its gates are those of Cho et al. 2014, with the
    reset gate after the product. `library`: from `native`; None leaves all to torch.
    """
    fits = inputs.dtype == torch.float32 and gru.hidden_size % PANEL == 0
    low = product_type(inputs)
    supported = inputs.device.type == "cpu" and low in (torch.float32, torch.bfloat16)
    if library is None or not (fits and supported):
        return cast(Tensor, gru(inputs, None if start is None else start[None])[0])
    if start is None:
        start = inputs.new_zeros(len(inputs), gru.hidden_size)
    weights = [gru.get_parameter(f"{name}_l0") for name in ("weight_ih", "weight_hh")]
    biases = [gru.get_parameter(f"{name}_l0") for name in ("bias_ih", "bias_hh")]
    saved_steps = inputs.shape[1] if torch.is_grad_enabled() else 1
    states: Tensor = _Recurrence.apply(library, saved_steps, low, inputs, start, *weights, *biases)  # type: ignore[no-untyped-call]
    return states


def recurrence_is_right(library: RecurrenceFunctions) -> bool:
    """Return whether C has the states and gradients of torch, to TOLERANCE."""
    generator = torch.Generator().manual_seed(0)
    # The caller may be in the middle of an inference.
    with torch.inference_mode(False), torch.enable_grad():
        gru = nn.GRU(5, 3 * PANEL, batch_first=True)
        for part in gru.parameters():
            nn.init.normal_(part, std=0.3, generator=generator)
        sizes = (9, 4, 5), (9, 3 * PANEL)
        inputs, start = (torch.randn(size, generator=generator).requires_grad_() for size in sizes)
        weights_of_states = torch.randn(9, 4, 3 * PANEL, generator=generator)
        results = []
        for each in (library, None):
            states = recurrence(gru, inputs, start, each)
            variables = [inputs, start, *gru.parameters()]
            results.append(
                [states, *torch.autograd.grad((states * weights_of_states).sum(), variables)]
            )
    return all(
        bool((one - other).norm() < TOLERANCE * other.norm())
        for one, other in zip(*results, strict=True)
    )


def _product_of_steps(
    layer: Linear, batch: int, low: torch.dtype, library: RecurrenceFunctions
) -> Callable[[Tensor, Tensor], object]:
    """Return the product of each step, (batch, inputs) into (batch, outputs), float32 both; its
    weights are laid out once for all steps."""
    if low == torch.float32:
        return pack_panels(layer, library).into
    product: Callable[[Tensor], Tensor] = layer.to(low).__call__
    # Where the processor has no such products oneDNN lays nothing out for them.
    with contextlib.suppress(NotImplementedError, AttributeError, RuntimeError):
        product = pack_onednn(layer, batch, low).narrow
    return lambda rows, out: out.copy_(product(rows.to(low)))


class _Recurrence(torch.autograd.Function):
    """The library, the number of steps whose gates are saved, the products' type, (batch, time,
    width), (batch, hidden) and the four parameters -> (batch, time, hidden). Inside, time comes
    first, so that the rows of a step are contiguous."""

    @staticmethod
    def forward(
        ctx: Any,
        library: RecurrenceFunctions,
        saved_steps: int,
        low: torch.dtype,
        inputs: Tensor,
        start: Tensor,
        by_input: Tensor,
        by_state: Tensor,
        input_bias: Tensor,
        state_bias: Tensor,
    ) -> Tensor:
        batch, time, width = inputs.shape
        hidden = start.shape[1]
        rows = inputs.transpose(0, 1).reshape(-1, width).to(low)
        projected = Linear(by_input, input_bias).to(low)(rows).float()
        states = inputs.new_empty(time + 1, batch, hidden)
        states[0] = start
        gates, product = (
            inputs.new_empty(*size, hidden) for size in ((saved_steps, batch, 4), (batch, 3))
        )
        multiply = _product_of_steps(Linear(by_state, state_bias), batch, low, library)
        threads = torch.get_num_threads()
        for step in range(time):
            multiply(states[step], product.view(batch, -1))
            read = projected[step * batch :], product, states[step]
            results = states[step + 1], gates[step % saved_steps]
            addresses = [part.data_ptr() for part in (*read, *results)]
            library.gru_forwards(threads, batch, hidden, *addresses)
        ctx.save_for_backward(rows, by_input, by_state, states, gates)
        ctx.library, ctx.low = library, low
        return states[1:].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_states: Tensor) -> tuple[Tensor | None, ...]:
        rows, by_input, by_state, states, gates = ctx.saved_tensors
        time, batch, _, hidden = gates.shape
        by_next = by_states.transpose(0, 1).contiguous()
        by_gates = torch.empty(time, batch, 4 * hidden)
        direct, through = torch.zeros(2, batch, hidden)
        multiply = _product_of_steps(Linear(by_state.t()), batch, ctx.low, ctx.library)
        threads = torch.get_num_threads()
        for step in reversed(range(time)):
            read = by_next[step], through, gates[step], states[step]
            addresses = [part.data_ptr() for part in (*read, direct, by_gates[step])]
            ctx.library.gru_backwards(threads, batch, hidden, *addresses)
            multiply(by_gates[step, :, hidden:], through)
        every = by_gates.view(-1, 4 * hidden)
        sums, every = every.sum(0), every.to(ctx.low)
        of_inputs, of_product = every[:, : 3 * hidden], every[:, hidden:]
        # The inputs' gradients begin with those of the new state, which is last among the weights.
        to_inputs = (of_inputs @ by_input.to(ctx.low).roll(hidden, 0)).float()
        to_by_input = (of_inputs.t() @ rows).float().roll(-hidden, 0)
        to_by_state = (of_product.t() @ states[:-1].view(-1, hidden).to(ctx.low)).float()
        biases = sums[: 3 * hidden].roll(-hidden), sums[hidden:]
        to_inputs = to_inputs.view(time, batch, -1).transpose(0, 1)
        return None, None, None, to_inputs, direct + through, to_by_input, to_by_state, *biases
