"""A GRU over whole sequences, as it learns.

In C where that was compiled, numbers are float32 on the CPU and the state fills whole panels: the
derivative is written out, so that the weights' gradients are one product after all steps instead of
one each. Elsewhere it is torch's own; the two agree to a few units in the last place.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from textvae.model.products import PANEL, Linear, in_panels

TOLERANCE = 1e-5
"""Between C and torch on the probe, as a share of what is compared."""


def recurrence(gru: nn.GRU, inputs: Tensor, start: Tensor | None, library: Any) -> Tensor:
    """(batch, time, width), (batch, hidden) or None for zeros -> states (batch, time, hidden).

    `gru`: one layer, one direction, batch_first; its gates are those of Cho et al. 2014, with the
    reset gate after the product. `library`: from `native`; None leaves all to torch.
    """
    fits = inputs.dtype == torch.float32 and gru.hidden_size % PANEL == 0
    on_cpu = inputs.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    if library is None or not (fits and on_cpu):
        return cast(Tensor, gru(inputs, None if start is None else start[None])[0])
    if start is None:
        start = inputs.new_zeros(len(inputs), gru.hidden_size)
    weights = [gru.get_parameter(f"{name}_l0") for name in ("weight_ih", "weight_hh")]
    biases = [gru.get_parameter(f"{name}_l0") for name in ("bias_ih", "bias_hh")]
    kept = inputs.shape[1] if torch.is_grad_enabled() else 1
    states: Tensor = _Recurrence.apply(library, kept, inputs, start, *weights, *biases)  # type: ignore[no-untyped-call]
    return states


def recurrence_is_right(library: Any) -> bool:
    """Whether C has the states and gradients of torch, which it is not asked to have to the bit."""
    generator = torch.Generator().manual_seed(0)
    # Whoever asks may be in the middle of an inference.
    with torch.inference_mode(False), torch.enable_grad():
        gru = nn.GRU(5, 3 * PANEL, batch_first=True)
        for part in gru.parameters():
            nn.init.normal_(part, std=0.3, generator=generator)
        sizes = (9, 4, 5), (9, 3 * PANEL)
        inputs, start = (torch.randn(size, generator=generator).requires_grad_() for size in sizes)
        weighed = torch.randn(9, 4, 3 * PANEL, generator=generator)
        found = []
        for each in (library, None):
            states = recurrence(gru, inputs, start, each)
            wanting = [inputs, start, *gru.parameters()]
            found.append([states, *torch.autograd.grad((states * weighed).sum(), wanting)])
    return all(
        bool((one - other).norm() < TOLERANCE * other.norm())
        for one, other in zip(*found, strict=True)
    )


class _Recurrence(torch.autograd.Function):
    """The library, of how many steps the gates are kept, (batch, time, width), (batch, hidden) and
    the four parameters -> (batch, time, hidden). Inside, time comes first, so that a step's rows
    lie side by side."""

    @staticmethod
    def forward(
        ctx: Any,
        library: Any,
        kept: int,
        inputs: Tensor,
        start: Tensor,
        by_input: Tensor,
        by_state: Tensor,
        input_bias: Tensor,
        state_bias: Tensor,
    ) -> Tensor:
        batch, time, width = inputs.shape
        hidden = start.shape[1]
        rows = inputs.transpose(0, 1).reshape(-1, width)
        given = torch.addmm(input_bias, rows, by_input.t())
        states = inputs.new_empty(time + 1, batch, hidden)
        states[0] = start
        gates, product = (
            inputs.new_empty(*size, hidden) for size in ((kept, batch, 4), (batch, 3))
        )
        panels = in_panels(Linear(by_state, state_bias), library)
        threads = torch.get_num_threads()
        for step in range(time):
            panels.into(states[step], product.view(batch, -1))
            read = given[step * batch :], product, states[step]
            made = states[step + 1], gates[step % kept]
            places = [part.data_ptr() for part in (*read, *made)]
            library.gru_forwards(threads, batch, hidden, *places)
        ctx.save_for_backward(rows, by_input, by_state, states, gates)
        ctx.library = library
        return states[1:].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_states: Tensor) -> tuple[Tensor | None, ...]:
        rows, by_input, by_state, states, gates = ctx.saved_tensors
        time, batch, _, hidden = gates.shape
        by_next = by_states.transpose(0, 1).contiguous()
        by_gates = torch.empty(time, batch, 4 * hidden)
        direct, through = torch.zeros(2, batch, hidden)
        panels = in_panels(Linear(by_state.t()), ctx.library)
        threads = torch.get_num_threads()
        for step in reversed(range(time)):
            read = by_next[step], through, gates[step], states[step]
            places = [part.data_ptr() for part in (*read, direct, by_gates[step])]
            ctx.library.gru_backwards(threads, batch, hidden, *places)
            panels.into(by_gates[step, :, hidden:], through)
        every = by_gates.view(-1, 4 * hidden)
        of_given, of_product = every[:, : 3 * hidden], every[:, hidden:]
        # The inputs' gradients begin with those of the new state, which is last among the weights.
        to_inputs = of_given @ by_input.roll(hidden, 0)
        to_by_input = (of_given.t() @ rows).roll(-hidden, 0)
        to_by_state = of_product.t() @ states[:-1].view(-1, hidden)
        sums = every.sum(0)
        biases = sums[: 3 * hidden].roll(-hidden), sums[hidden:]
        to_inputs = to_inputs.view(time, batch, -1).transpose(0, 1)
        return None, None, to_inputs, direct + through, to_by_input, to_by_state, *biases
