"""The gates of a GRU: what is left of a step when its matrix product is done.

In C (`gates.c`) where an installation could compile it, in a third of the time, else by torch; the
two agree to a few units in the last place. A row's numbers are its own in both.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

TOLERANCE = 2e-6
"""Between C and torch on the probe, whose values are within 1."""


class Pooled(NamedTuple):
    """What is kept of a row's states so far, (rows, hidden) each; updated in place."""

    total: Tensor
    largest: Tensor


def gru_gates(
    library: Any,
    table: Tensor,
    tokens: Tensor,
    extra: Tensor | None,
    product: Tensor,
    state: Tensor,
    pooled: Pooled | None = None,
) -> Tensor:
    """One step: the next states, (rows, hidden), which `pooled` takes in.

    `table` (vocab, 3 * hidden): a token's input projection; `tokens` (rows,); `extra` (rows, 3 *
    hidden): more of it; `product` (rows, 3 * hidden or wider): the state's projection, its bias
    included; `state` (rows, hidden). `library`: from `native`, None for torch. The gates
    are those of torch.nn.GRU (Cho et al. 2014, with the reset gate after the product).
    """
    if library is None:
        return _by_torch(table, tokens, extra, product, state, pooled)
    rows, hidden = state.shape
    following = torch.empty_like(state)
    whole = (table, state, *(pooled or ()), *(() if extra is None else (extra,)))
    assert product.stride(1) == 1, "C reads a row's floats one after the other"
    assert all(part.is_contiguous() for part in whole), "C reads rows one after the other"
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


def _by_torch(
    table: Tensor,
    tokens: Tensor,
    extra: Tensor | None,
    product: Tensor,
    state: Tensor,
    pooled: Pooled | None,
) -> Tensor:
    """The same by torch."""
    given = table[tokens] if extra is None else table[tokens] + extra
    reset, update, new = product[:, : given.shape[1]].chunk(3, 1)
    given_reset, given_update, given_new = given.chunk(3, 1)
    reset = torch.sigmoid(given_reset + reset)
    update = torch.sigmoid(given_update + update)
    new = torch.tanh(given_new + reset * new)
    following = new + update * (state - new)
    if pooled:
        pooled.total.add_(following)
        torch.maximum(pooled.largest, following, out=pooled.largest)
    return following


def gates_are_right(library: Any) -> bool:
    """Whether C and torch agree on numbers of all sizes."""
    generator = torch.Generator().manual_seed(0)
    hidden, rows = 61, 5

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * torch.logspace(-3, 2, shape[-1])

    table, extra, product = (numbers(rows, 3 * hidden) for _ in range(3))
    state = numbers(rows, hidden).clamp(-1, 1)
    tokens = torch.arange(rows).flip(0)
    found = []
    for each in (library, None):
        pooled = Pooled(torch.ones(rows, hidden), torch.zeros(rows, hidden))
        made = gru_gates(each, table, tokens, extra, product, state, pooled)
        plain = gru_gates(each, table, tokens, None, product, state)
        found.append(torch.stack([made, plain, *pooled]))
    return torch.allclose(found[0], found[1], rtol=0, atol=TOLERANCE)
