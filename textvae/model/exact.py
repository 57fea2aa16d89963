"""The network as it is served, batch-invariant: a row's numbers do not depend on other rows.

A matrix product may round a row differently for another number of rows; those of `products.py` do
not, and where these are missing, rows run in buckets of fixed sizes. Input projections come from a
table, one row a token, so that no product has as many rows as a batch has tokens; states are pooled
step by step, so padding never enters a sum. `engine/batch_invariance.py` checks the machine itself.
"""

import bisect
import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from textvae.model.gates import GateFunctions, PooledStates, gru_gates
from textvae.model.network import LOGVAR_RANGE, SentenceVae, TiedDecoder
from textvae.model.posterior import Posterior
from textvae.model.products import Linear, Product

PackLayer = Callable[[Linear], Product]
"""Lays out a layer's weights for its product: `pack_panels`, `pack_onednn` or `quantize_int8`."""

# Products of 1 to 7 and 9 to 11 rows are rounded differently from others by common CPU libraries.
BUCKETS = (8, 16, 32, 64)


def bucket_of(rows: int, buckets: tuple[int, ...] = BUCKETS) -> int:
    """Return the smallest bucket that holds `rows`."""
    return buckets[bisect.bisect_left(buckets, rows)]


def pad_rows(values: Tensor, size: int) -> Tensor:
    """(rows, ...) -> (size, ...): zeros after the rows."""
    if len(values) == size:
        return values
    return torch.cat([values, values.new_zeros(size - len(values), *values.shape[1:])])


class GruCell(NamedTuple):
    """One direction of a GRU, a row at a time."""

    table: Tensor
    """(vocab, 3 * hidden) input projection of every token, its bias included."""
    recurrent: Product
    """hidden -> 3 * hidden; in the decoder the output layer's embed columns follow."""
    library: GateFunctions | None = None
    """From `native`; None computes the gates by torch."""


def gru_cell(gru: nn.GRU, embedding: Tensor) -> GruCell:
    """Return the GRU with the input product of every row of `embedding`, (vocab, embed)."""
    weight = gru.get_parameter("weight_ih_l0")[:, : embedding.shape[1]]
    table = functional.linear(embedding, weight, gru.get_parameter("bias_ih_l0"))
    recurrent = gru.get_parameter("weight_hh_l0"), gru.get_parameter("bias_hh_l0")
    return GruCell(table, Linear(recurrent[0].clone(), recurrent[1].clone()))


def _pack_product(pack: PackLayer, layer: Product) -> Product:
    """Return the layer, laid out by `pack`."""
    assert isinstance(layer, Linear), "a layer is laid out once, from the weights themselves"
    return pack(layer)


def _linear(layer: nn.Linear) -> Linear:
    """Return the layer's weights."""
    return Linear(layer.weight, layer.bias)


class ExactEncoder:
    """Token ids to posteriors, at most one bucket at a time."""

    def __init__(self, model: SentenceVae) -> None:
        """`model`: trained, its BatchNorm folded."""
        assert model.encoder.batchnorm is None, "fold_batchnorm(model) first"
        embedding = model.embedding.weight
        self.cells = (
            gru_cell(model.encoder.forward_gru, embedding),
            gru_cell(model.encoder.backward_gru, embedding),
        )
        self.hidden = model.encoder.forward_gru.hidden_size
        self.mean: Product = _linear(model.encoder.mean)
        self.logvar: Product = _linear(model.encoder.logvar)

    def with_gates(self, library: GateFunctions | None) -> "ExactEncoder":
        """Return the same encoder with gates from `native`."""
        other = copy.copy(self)
        ahead, back = (cell._replace(library=library) for cell in self.cells)
        other.cells = ahead, back
        return other

    def with_products(self, pack: PackLayer) -> "ExactEncoder":
        """Return the same encoder with its layers laid out by `pack`."""
        other = copy.copy(self)
        ahead, back = (
            cell._replace(recurrent=_pack_product(pack, cell.recurrent)) for cell in self.cells
        )
        other.cells = ahead, back
        other.mean, other.logvar = _pack_product(pack, self.mean), _pack_product(pack, self.logvar)
        return other

    def products(self) -> list[Product]:
        """Return all of its matrix products."""
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
            self._pool_states(cell, ids[order], lengths[order], buckets)
            for cell, ids in zip(self.cells, (tokens, back), strict=True)
        ]
        features = pad_rows(torch.cat(pooled, 1), size)
        inverse = torch.argsort(order)
        logvar = self.logvar(features).clamp(*LOGVAR_RANGE)
        return Posterior(self.mean(features)[inverse], logvar[inverse])

    def _pool_states(
        self, cell: GruCell, tokens: Tensor, lengths: Tensor, buckets: tuple[int, ...]
    ) -> Tensor:
        """(rows, time), (rows,) -> (rows, 3 * hidden): last, mean and largest real state.

        The longest row comes first: as rows end, the product has fewer rows.
        """
        size = bucket_of(len(tokens), buckets)
        ids = pad_rows(tokens, size)
        state = torch.zeros(size, self.hidden)
        total = torch.zeros_like(state)
        largest = torch.full_like(state, -torch.inf)
        lives = (lengths[:, None] > torch.arange(tokens.shape[1])).sum(0)
        for time, live in enumerate(lives.tolist()):
            product = cell.recurrent(state[: bucket_of(live, buckets)])[:live]
            pooled = PooledStates(total[:live], largest[:live])
            state[:live] = gru_gates(
                cell.library, cell.table, ids[:live, time], None, product, state[:live], pooled
            )
        count = len(tokens)
        return torch.cat([state[:count], total[:count] / lengths[:, None], largest[:count]], 1)


class DecoderState(NamedTuple):
    """The state of rows between two steps of the decoder."""

    state: Tensor
    """(rows, hidden)"""
    product: Tensor
    """(rows, 3 * hidden + embed) products of the state with the cell's and the output's weights."""
    gates: Tensor
    """(rows, 3 * hidden) what the latent adds to the gates of every step."""
    output: Tensor
    """(rows, embed) what the latent adds to the output of every step, the bias included."""

    def select(self, rows: Tensor | slice) -> "DecoderState":
        """Return the state of these rows, in this order."""
        return DecoderState(*(part[rows] for part in self))

    def pad(self, size: int) -> "DecoderState":
        """Return the state with zeros after the rows, `size` rows in all."""
        return DecoderState(*(pad_rows(part, size) for part in self))

    def append(self, others: "DecoderState") -> "DecoderState":
        """Return the state with the rows of `others` after these."""
        return DecoderState(*(torch.cat(parts) for parts in zip(self, others, strict=True)))


class LatentLayers(NamedTuple):
    """The layers by which a latent enters the decoder."""

    start: Product
    gates: Product
    output: Product


class ExactDecoder:
    """One token a row and a call: the decoder of a trained VAE, or a language model."""

    def __init__(self, model: TiedDecoder) -> None:
        embedding = model.embedding.weight
        decoder = model.decoder
        embed, hidden = embedding.shape[1], decoder.gru.hidden_size
        cell = gru_cell(decoder.gru, embedding)
        # One product of a state for the next gates and this output: weights are read in one go.
        assert isinstance(cell.recurrent, Linear), "a trained layer is not packed yet"
        joint = torch.cat([cell.recurrent.weight, decoder.output.weight[:, :hidden]])
        bias = torch.cat([decoder.gru.get_parameter("bias_hh_l0"), torch.zeros(embed)])
        self.cell: GruCell = cell._replace(recurrent=Linear(joint, bias))
        self.output_bias: Tensor = decoder.output.bias
        self.by_latent: LatentLayers | None = None
        if decoder.start is not None:
            gates = decoder.gru.get_parameter("weight_ih_l0")[:, embed:]
            output = decoder.output.weight[:, hidden:]
            self.by_latent = LatentLayers(
                _linear(decoder.start),
                Linear(gates.clone()),
                Linear(output.clone(), decoder.output.bias),
            )
        self.logits: Product = Linear(embedding, decoder.bias)
        self.vocab = len(embedding)
        self.hidden, self.wide = hidden, 3 * hidden
        self.embed = embed

    def with_products(self, pack: PackLayer, pack_steps: PackLayer | None = None) -> "ExactDecoder":
        """Return the same decoder with its layers laid out by `pack`, those of each step by
        `pack_steps` if it is not None."""
        other = copy.copy(self)
        pack_steps = pack_steps or pack
        other.cell = self.cell._replace(recurrent=_pack_product(pack_steps, self.cell.recurrent))
        other.logits = _pack_product(pack_steps, self.logits)
        if self.by_latent is not None:
            packed = (_pack_product(pack, layer) for layer in self.by_latent)
            other.by_latent = LatentLayers(*packed)
        return other

    def products(self) -> list[Product]:
        """Return all of its matrix products."""
        return [self.cell.recurrent, *(self.by_latent or ()), self.logits]

    def with_gates(self, library: GateFunctions | None) -> "ExactDecoder":
        """Return the same decoder with gates from `native`."""
        other = copy.copy(self)
        other.cell = self.cell._replace(library=library)
        return other

    def start(self, latents: Tensor) -> DecoderState:
        """(rows, latent), as many rows as a bucket has -> their state before the first step.

        A language model's latents have no columns.
        """
        if self.by_latent is None:
            rows = len(latents)
            state, gates = latents.new_zeros(rows, self.hidden), latents.new_zeros(rows, self.wide)
            output = self.output_bias.repeat(rows, 1)
        else:
            state = torch.tanh(self.by_latent.start(latents))
            gates, output = self.by_latent.gates(latents), self.by_latent.output(latents)
        return DecoderState(state, self.cell.recurrent(state), gates, output)

    def empty_state(self) -> DecoderState:
        """Return the state of no rows."""
        widths = (self.hidden, self.wide + self.embed, self.wide, self.embed)
        return DecoderState(*(torch.zeros(0, width) for width in widths))

    def step(self, tokens: Tensor, before: DecoderState) -> tuple[Tensor, DecoderState]:
        """(rows,), as many rows as a bucket has -> logits (rows, vocab), the next state."""
        library, table = self.cell.library, self.cell.table
        state = gru_gates(library, table, tokens, before.gates, before.product, before.state)
        product = self.cell.recurrent(state)
        output = product[:, self.wide :] + before.output
        return self.logits(output), before._replace(state=state, product=product)
