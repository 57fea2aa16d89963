"""Picking the next token of each row from its logits.

A row that draws does so by inverse CDF from one number of its own. Nothing here mixes rows: each is
sorted, summed and searched along itself, by kernels whose result is the same for any number of
rows, so a token depends on no neighbour.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# A colder draw is this cold: the likeliest token but for ties.
TEMPERATURE_MIN = 1e-6
# Tokens that top-p looks among before it sorts the whole vocabulary.
LIKELIEST = 256
# Tokens of one sum, when the place of a number among all tokens' edges is searched in two strides.
BLOCK = 64


class Picking(NamedTuple):
    """How each row picks, (rows,) each."""

    temperature: np.ndarray
    """0 takes the likeliest token."""
    top_k: np.ndarray
    """0 for all tokens."""
    top_p: np.ndarray
    """1 for all tokens."""
    min_p: np.ndarray
    """0 for all tokens."""


def pick(logits: Tensor, picking: Picking, uniforms: np.ndarray) -> np.ndarray:
    """(rows, vocab) and one number in [0, 1) a row -> (rows,) token ids.

    top-k, then top-p of what that leaves, then min-p, each if asked for.
    """
    tokens = logits.argmax(1).numpy().copy()
    drawing = np.flatnonzero(picking.temperature > 0)
    if not len(drawing):
        return tokens
    vocab = logits.shape[1]
    asked = np.where(picking.top_p < 1, LIKELIEST, 0)
    asked = np.where(picking.top_k > 0, picking.top_k, asked)
    # Its own number of candidates decides how a row is sorted, never a neighbour's.
    widths = np.minimum(asked, vocab)
    for width in np.unique(widths[drawing]):
        places = drawing[widths[drawing] == width]
        own = Picking(*(values[places] for values in picking))
        some = logits if len(places) == len(logits) else logits[torch.from_numpy(places)]
        tokens[places] = _drawn(some, own, uniforms[places], int(width))
    return tokens


def _drawn(logits: Tensor, picking: Picking, uniforms: np.ndarray, width: int) -> np.ndarray:
    """(rows, vocab) -> (rows,): draws among the `width` likeliest tokens, 0 for all."""
    temperature = torch.from_numpy(np.maximum(picking.temperature, TEMPERATURE_MIN)).float()
    # Shifted first: a tiny temperature would else make infinities of all logits.
    scaled = (logits - logits.amax(1, keepdim=True)) / temperature[:, None]
    shares = torch.softmax(scaled, 1)
    if not width:
        least = torch.from_numpy(picking.min_p).float()[:, None] * shares.amax(1, keepdim=True)
        return _among_all(torch.where(shares < least, 0.0, shares), uniforms)
    likeliest, ids = torch.topk(shares, width)
    mass, order = likeliest.numpy().astype(np.float64), ids.numpy()
    tokens, reached = _among_likeliest(mass, order, picking, uniforms)
    short = np.flatnonzero(~reached & (width < logits.shape[1]))
    for row in short:  # a flat distribution: top-p needs more tokens than were sorted
        mass, order = _sorted(shares[row])
        own = Picking(*(values[row : row + 1] for values in picking))
        tokens[row] = _among_likeliest(mass, order, own, uniforms[row : row + 1])[0][0]
    return tokens


def _sorted(shares: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(vocab,) -> (1, vocab) twice: the shares from the largest on, and whose they are."""
    mass, order = torch.sort(shares, descending=True, stable=True)
    return mass.numpy().astype(np.float64)[None], order.numpy()[None]


def _among_likeliest(
    mass: np.ndarray, ids: np.ndarray, picking: Picking, uniforms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, width) shares from the largest on, and whose they are -> (rows,) tokens, and whether
    top-p found all its tokens among these."""
    edges = np.cumsum(mass, 1)
    # The rows without top-k share what all tokens have, which is 1.
    whole = np.where(picking.top_k > 0, edges[:, -1], 1.0)
    reached = (picking.top_k > 0) | (picking.top_p >= 1) | (edges[:, -1] >= picking.top_p * whole)
    # The first token whose share brings the sum to top_p still counts (Holtzman et al. 2020).
    kept = edges - mass < (picking.top_p * whole)[:, None]
    kept &= mass >= (picking.min_p * mass[:, 0])[:, None]
    kept[:, 0] = True
    edges = np.cumsum(mass * kept, 1)
    place = (edges <= (uniforms * edges[:, -1])[:, None]).sum(1)
    # Rounding may put the number on the last edge; the last token kept is meant.
    return ids[np.arange(len(mass)), np.minimum(place, _last(kept))], reached


def _among_all(shares: Tensor, uniforms: np.ndarray) -> np.ndarray:
    """(rows, vocab) -> (rows,): the token on whose share of the sum the number falls.

    First the block of tokens, then the token in it.
    """
    rows, vocab = shares.shape
    blocks = -(-vocab // BLOCK)
    filled = torch.nn.functional.pad(shares, (0, blocks * BLOCK - vocab)).view(rows, blocks, BLOCK)
    sums = filled.sum(2, dtype=torch.float64).numpy()
    edges = np.cumsum(sums, 1)
    aim = uniforms * edges[:, -1]
    block = np.minimum((edges <= aim[:, None]).sum(1), _last(sums))
    every = np.arange(rows)
    rest = aim - np.where(block > 0, edges[every, block - 1], 0.0)
    inside = filled[torch.from_numpy(every), torch.from_numpy(block)].numpy().astype(np.float64)
    place = np.minimum((np.cumsum(inside, 1) <= rest[:, None]).sum(1), _last(inside))
    tokens: np.ndarray = block * BLOCK + place
    return tokens


def _last(mass: np.ndarray) -> np.ndarray:
    """(rows, n) -> (rows,): the last place with any mass, where rounding may not lead past."""
    last: np.ndarray = mass.shape[1] - 1 - np.argmax(mass[:, ::-1] > 0, 1)
    return last
