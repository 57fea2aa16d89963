"""The network as it is served: every row's numbers are its own, whatever rows run beside it.

A matrix product may round a row differently for another number of rows; those of `products.py` do
not, and where there are none of these, rows run in buckets of fixed sizes. Input projections come
from a table, one row a token, so that no product has as many rows as a batch has tokens; states
are pooled while they are made, so padding never enters a sum. `engine/batch_invariance.py` checks
on the machine itself what holds.
"""

import bisect
import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from textvae.model.gates import Pooled, gru_gates
from textvae.model.network import LOGVAR_RANGE, SentenceVae
from textvae.model.posterior import Posterior
from textvae.model.products import Linear, Product

Make = Callable[[Linear], Product]
"""How a layer's product is to be made."""

# Products of 1 to 7 and 9 to 11 rows are rounded differently from others by common CPU libraries.
BUCKETS = (8, 16, 32, 64)


def bucket_of(rows: int, buckets: tuple[int, ...] = BUCKETS) -> int:
    """The smallest bucket that holds `rows`."""
    return buckets[bisect.bisect_left(buckets, rows)]


def pad_rows(values: Tensor, size: int) -> Tensor:
    """(rows, ...) -> (size, ...): zeros after the rows."""
    if len(values) == size:
        return values
    return torch.cat([values, values.new_zeros(size - len(values), *values.shape[1:])])


class Cell(NamedTuple):
    """One direction of a GRU, a row at a time."""

    table: Tensor
    """(vocab, 3 * hidden) input projection of every token, its bias included."""
    recurrent: Product
    """hidden -> 3 * hidden, and in the decoder the output layer's part for the state after it"""
    library: Any = None
    """From `native`; None computes the gates by torch."""


def cell_of(gru: nn.GRU, embedding: Tensor) -> Cell:
    """The GRU's weights with its input product done for every row of (vocab, embed)."""
    weight = gru.get_parameter("weight_ih_l0")[:, : embedding.shape[1]]
    table = functional.linear(embedding, weight, gru.get_parameter("bias_ih_l0"))
    recurrent = gru.get_parameter("weight_hh_l0"), gru.get_parameter("bias_hh_l0")
    return Cell(table, Linear(recurrent[0].clone(), recurrent[1].clone()))


def _make_product(make: Make, layer: Product) -> Product:
    """The layer's product, made so."""
    assert isinstance(layer, Linear), "products are made once, from the weights themselves"
    return make(layer)


def _linear(layer: nn.Linear) -> Linear:
    """The layer's weights."""
    return Linear(layer.weight, layer.bias)


class ExactEncoder:
    """Token ids to posteriors, at most one bucket at a time."""

    def __init__(self, model: SentenceVae) -> None:
        """`model`: trained, its BatchNorm folded."""
        assert model.encoder.batchnorm is None, "fold_batchnorm(model) first"
        embedding = model.embedding.weight
        self.cells = (
            cell_of(model.encoder.forward_gru, embedding),
            cell_of(model.encoder.backward_gru, embedding),
        )
        self.hidden = model.encoder.forward_gru.hidden_size
        self.mean: Product = _linear(model.encoder.mean)
        self.logvar: Product = _linear(model.encoder.logvar)

    def with_gates(self, library: Any) -> "ExactEncoder":
        """The same encoder with gates from `native`."""
        other = copy.copy(self)
        ahead, back = (cell._replace(library=library) for cell in self.cells)
        other.cells = ahead, back
        return other

    def with_products(self, make: Make) -> "ExactEncoder":
        """The same encoder with its products made so."""
        other = copy.copy(self)
        ahead, back = (
            cell._replace(recurrent=_make_product(make, cell.recurrent)) for cell in self.cells
        )
        other.cells = ahead, back
        other.mean, other.logvar = _make_product(make, self.mean), _make_product(make, self.logvar)
        return other

    def products(self) -> list[Product]:
        """All of its matrix products."""
        return [*(cell.recurrent for cell in self.cells), self.mean, self.logvar]

    def encode(
        self, tokens: Tensor, back: Tensor, lengths: Tensor, buckets: tuple[int, ...] = BUCKETS
    ) -> Posterior:
        """(rows, time) ahead and reversed, (rows,) -> Posterior of (rows, latent).

        At most as many rows as the largest bucket.
        """
        size = bucket_of(len(tokens), buckets)
        order = torch.argsort(lengths, descending=True, stable=True)
        pooled = [
            self._pooled(cell, ids[order], lengths[order], buckets)
            for cell, ids in zip(self.cells, (tokens, back), strict=True)
        ]
        features = pad_rows(torch.cat(pooled, 1), size)
        places = torch.argsort(order)
        logvar = self.logvar(features).clamp(*LOGVAR_RANGE)
        return Posterior(self.mean(features)[places], logvar[places])

    def _pooled(
        self, cell: Cell, tokens: Tensor, lengths: Tensor, buckets: tuple[int, ...]
    ) -> Tensor:
        """(rows, time), (rows,) -> (rows, 3 * hidden): last, mean and largest real state.

        The longest row comes first: one that has ended takes part no more, and the product shrinks.
        """
        size = bucket_of(len(tokens), buckets)
        ids = pad_rows(tokens, size)
        state = torch.zeros(size, self.hidden)
        total = torch.zeros_like(state)
        largest = torch.full_like(state, -torch.inf)
        lives = (lengths[:, None] > torch.arange(tokens.shape[1])).sum(0)
        for time, live in enumerate(lives.tolist()):
            product = cell.recurrent(state[: bucket_of(live, buckets)])[:live]
            pooled = Pooled(total[:live], largest[:live])
            state[:live] = gru_gates(
                cell.library, cell.table, ids[:live, time], None, product, state[:live], pooled
            )
        count = len(tokens)
        return torch.cat([state[:count], total[:count] / lengths[:, None], largest[:count]], 1)


class DecoderState(NamedTuple):
    """What rows carry from one step of the decoder to the next."""

    state: Tensor
    """(rows, hidden)"""
    product: Tensor
    """(rows, 3 * hidden + embed) what the cell and the output layer make of the state."""
    gates: Tensor
    """(rows, 3 * hidden) what the latent gives to every step's gates."""
    output: Tensor
    """(rows, embed) what it gives to every step's output, the bias included."""

    def at(self, rows: Tensor | slice) -> "DecoderState":
        """Of these rows only, in this order."""
        return DecoderState(*(part[rows] for part in self))

    def padded(self, size: int) -> "DecoderState":
        """With zeros after the rows."""
        return DecoderState(*(pad_rows(part, size) for part in self))

    def joined(self, others: "DecoderState") -> "DecoderState":
        """With others' rows after these."""
        return DecoderState(*(torch.cat(parts) for parts in zip(self, others, strict=True)))


class ExactDecoder:
    """One token a row and a call: the decoder of a trained model."""

    def __init__(self, model: SentenceVae) -> None:
        embedding = model.embedding.weight
        decoder = model.decoder
        embed, hidden = embedding.shape[1], decoder.gru.hidden_size
        assert decoder.start is not None, "a decoder that is served has a latent"
        cell = cell_of(decoder.gru, embedding)
        # One product of a state for the next gates and this output: weights are read in one go.
        assert isinstance(cell.recurrent, Linear), "weights as they were learned"
        joint = torch.cat([cell.recurrent.weight, decoder.output.weight[:, :hidden]])
        bias = torch.cat([decoder.gru.get_parameter("bias_hh_l0"), torch.zeros(embed)])
        self.cell: Cell = cell._replace(recurrent=Linear(joint, bias))
        self.start_layer: Product = _linear(decoder.start)
        by_latent = decoder.gru.get_parameter("weight_ih_l0")[:, embed:]
        self.latent_gates: Product = Linear(by_latent.clone())
        by_latent = decoder.output.weight[:, hidden:]
        self.latent_output: Product = Linear(by_latent.clone(), decoder.output.bias)
        self.logits: Product = Linear(embedding, decoder.bias)
        self.vocab = len(embedding)
        self.hidden = hidden
        self.embed = embed

    def with_products(self, make: Make, of_steps: Make | None = None) -> "ExactDecoder":
        """The same decoder with its products made so, those of each step by `of_steps` if given."""
        other = copy.copy(self)
        of_steps = of_steps or make
        other.cell = self.cell._replace(recurrent=_make_product(of_steps, self.cell.recurrent))
        other.logits = _make_product(of_steps, self.logits)
        other.start_layer = _make_product(make, self.start_layer)
        other.latent_gates = _make_product(make, self.latent_gates)
        other.latent_output = _make_product(make, self.latent_output)
        return other

    def products(self) -> list[Product]:
        """All of its matrix products."""
        by_latent = [self.start_layer, self.latent_gates, self.latent_output]
        return [self.cell.recurrent, *by_latent, self.logits]

    def with_gates(self, library: Any) -> "ExactDecoder":
        """The same decoder with gates from `native`."""
        other = copy.copy(self)
        other.cell = self.cell._replace(library=library)
        return other

    def start(self, latents: Tensor) -> DecoderState:
        """(rows, latent), as many rows as a bucket has -> what they begin with."""
        state = torch.tanh(self.start_layer(latents))
        given = self.latent_gates(latents), self.latent_output(latents)
        return DecoderState(state, self.cell.recurrent(state), *given)

    def nobody(self) -> DecoderState:
        """What no rows carry."""
        wide = 3 * self.hidden
        widths = (self.hidden, wide + self.embed, wide, self.embed)
        return DecoderState(*(torch.zeros(0, width) for width in widths))

    def step(self, tokens: Tensor, carried: DecoderState) -> tuple[Tensor, DecoderState]:
        """(rows,), as many rows as a bucket has -> logits (rows, vocab), what goes on."""
        library, table = self.cell.library, self.cell.table
        state = gru_gates(library, table, tokens, carried.gates, carried.product, carried.state)
        product = self.cell.recurrent(state)
        output = product[:, 3 * self.hidden :] + carried.output
        return self.logits(output), carried._replace(state=state, product=product)
