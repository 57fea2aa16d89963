"""The gates of a GRU: the elementwise part of a step, after its matrix product.

In C (`gates.c`) where an installation could compile it, in a third of the time, else by torch; the
two agree to a few units in the last place. Both are batch-invariant.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

TOLERANCE = 2e-6
"""Largest difference between C and torch on the probe, whose values are within 1."""


class GateFunctions(Protocol):
    """The compiled functions of gates.c. Pointers are addresses, None is NULL."""

    def gru_step(
        self,
        threads: int,
        rows: int,
        hidden: int,
        table: int,
        tokens: int,
        token_stride: int,
        extra: int | None,
        product: int,
        product_stride: int,
        state: int,
        following: int,
        total: int | None,
        largest: int | None,
        /,
    ) -> None:
        """Compute the gates of one step for all rows."""


class PooledStates(NamedTuple):
    """Running sum and maximum of a row's states, (rows, hidden) each; updated in place."""

    total: Tensor
    largest: Tensor


def gru_gates(
    library: GateFunctions | None,
    table: Tensor,
    tokens: Tensor,
    extra: Tensor | None,
    product: Tensor,
    state: Tensor,
    pooled: PooledStates | None = None,
) -> Tensor:
    """Compute one step -> the next states (rows, hidden), which `pooled` accumulates.

    `table` (vocab, 3 * hidden): a token's input projection; `tokens` (rows,); `extra` (rows, 3 *
    hidden): more of it; `product` (rows, 3 * hidden or wider): the state's projection, its bias
    included; `state` (rows, hidden). `library`: from `native`, None for torch. The gates
    are those of torch.nn.GRU (Cho et al. 2014, with the reset gate after the product).
    """
    if library is None:
        return _torch_gates(table, tokens, extra, product, state, pooled)
    rows, hidden = state.shape
    following = torch.empty_like(state)
    tensors = (table, state, *(pooled or ()), *(() if extra is None else (extra,)))
    assert product.stride(1) == 1, "C reads a row's floats one after the other"
    assert all(part.is_contiguous() for part in tensors), "C reads rows one after the other"
    library.gru_step(
        torch.get_num_threads(),
        rows,
        hidden,
        table.data_ptr(),
        tokens.data_ptr(),
        tokens.stride(0),
        None if extra is None else extra.data_ptr(),
        product.data_ptr(),
        product.stride(0),
        state.data_ptr(),
        following.data_ptr(),
        *(part.data_ptr() for part in pooled or ()),
        *(() if pooled else (None, None)),
    )
    return following


def _torch_gates(
    table: Tensor,
    tokens: Tensor,
    extra: Tensor | None,
    product: Tensor,
    state: Tensor,
    pooled: PooledStates | None,
) -> Tensor:
    """Compute the same by torch."""
    by_input = table[tokens] if extra is None else table[tokens] + extra
    reset, update, new = product[:, : by_input.shape[1]].chunk(3, 1)
    input_reset, input_update, input_new = by_input.chunk(3, 1)
    reset = torch.sigmoid(input_reset + reset)
    update = torch.sigmoid(input_update + update)
    new = torch.tanh(input_new + reset * new)
    following = new + update * (state - new)
    if pooled:
        pooled.total.add_(following)
        torch.maximum(pooled.largest, following, out=pooled.largest)
    return following


def gates_are_right(library: GateFunctions) -> bool:
    """Return whether C and torch agree on numbers of all sizes."""
    generator = torch.Generator().manual_seed(0)
    hidden, rows = 61, 5

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * torch.logspace(-3, 2, shape[-1])

    table, extra, product = (numbers(rows, 3 * hidden) for _ in range(3))
    state = numbers(rows, hidden).clamp(-1, 1)
    tokens = torch.arange(rows).flip(0)
    results = []
    for each in (library, None):
        pooled = PooledStates(torch.ones(rows, hidden), torch.zeros(rows, hidden))
        full = gru_gates(each, table, tokens, extra, product, state, pooled)
        short = gru_gates(each, table, tokens, None, product, state)
        results.append(torch.stack([full, short, *pooled]))
    return torch.allclose(results[0], results[1], rtol=0, atol=TOLERANCE)
