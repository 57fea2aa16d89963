"""Picking the next token of each row from its logits.

A row that draws does so by inverse CDF from one number of its own. Nothing here mixes rows: each is
sorted, summed and searched along itself, by kernels whose result is the same for any number of
rows, so a token depends on no neighbour.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

# A colder draw is this cold: the likeliest token but for ties.
TEMPERATURE_MIN = 1e-6
# Tokens that top-p looks among before it sorts the whole vocabulary.
LIKELIEST = 256
# Tokens of one sum, when the place of a number among all tokens' edges is searched in two strides.
BLOCK = 64
# Between the logarithm of a sum in C and in float64.
TOLERANCE = 2e-6


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


def pick(logits: Tensor, picking: Picking, uniforms: np.ndarray, library: Any = None) -> np.ndarray:
    """(rows, vocab) and one number in [0, 1) a row -> (rows,) token ids.

    top-k, then top-p of what that leaves, then min-p, each if asked for. `library`: from `native`;
    None picks by torch and NumPy, the same but for numbers within rounding of an edge.
    """
    if library is not None:
        return _picked_in_c(logits, picking, uniforms, library)
    drawing = np.flatnonzero(picking.temperature > 0)
    if len(drawing) < len(logits):
        tokens = logits.argmax(1).numpy().copy()
    else:
        tokens = np.empty(len(logits), np.int64)
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


def log_sums(logits: Tensor, library: Any = None) -> np.ndarray:
    """(rows, vocab) -> (rows,) float64 logarithms of the sums of their exponentials."""
    if library is None:
        return torch.logsumexp(logits, 1).numpy().astype(np.float64)
    rows, vocab, stride = _rows_of(logits)
    threads = torch.get_num_threads()
    room, found = np.empty((threads, vocab)), np.empty(rows)
    library.log_sums(
        *(threads, rows, vocab, logits.data_ptr(), stride, room.ctypes.data, found.ctypes.data)
    )
    return found


def _rows_of(logits: Tensor) -> tuple[int, int, int]:
    """Rows, vocab, and floats from one row to the next."""
    assert logits.stride(1) == 1, "C reads a row's floats one after the other"
    assert logits.dtype == torch.float32, f"C reads float32, not {logits.dtype}"
    return *logits.shape, logits.stride(0)


def _picked_in_c(
    logits: Tensor, picking: Picking, uniforms: np.ndarray, library: Any
) -> np.ndarray:
    """(rows, vocab), one number a row -> (rows,) token ids."""
    rows, vocab, stride = _rows_of(logits)
    threads = torch.get_num_threads()
    ways = [np.ascontiguousarray(part, np.float64) for part in (*picking, uniforms)]
    ways[1] = np.ascontiguousarray(picking.top_k, np.int64)
    room, found = np.empty((threads, vocab)), np.empty(rows, np.int64)
    places = [part.ctypes.data for part in (*ways, room, found)]
    library.pick_rows(threads, rows, vocab, logits.data_ptr(), stride, *places)
    return found


def picks_are_right(library: Any) -> bool:
    """Whether C and torch pick alike and sum alike, for every kind of row."""
    kinds = [(0.0, 0, 1.0, 0.0), (1.0, 0, 1.0, 0.0), (0.7, 40, 1.0, 0.0), (1.2, 0, 0.9, 0.0)]
    kinds += [(5.0, 0, 0.99, 0.0), (1.0, 0, 1.0, 0.05), (1.0, 7, 0.8, 0.1), (2.0, 4000, 1.0, 0.0)]
    logits = 2 * torch.randn(len(kinds), 2003, generator=torch.Generator().manual_seed(0))
    logits[:, 1] = -torch.inf
    picking = Picking(*(np.array(column) for column in zip(*kinds, strict=True)))
    numbers = np.linspace(0.05, 0.95, len(kinds))
    same = np.array_equal(pick(logits, picking, numbers, library), pick(logits, picking, numbers))
    error = np.abs(log_sums(logits, library) - torch.logsumexp(logits.double(), 1).numpy())
    return same and float(error.max()) < TOLERANCE


def _drawn(logits: Tensor, picking: Picking, uniforms: np.ndarray, width: int) -> np.ndarray:
    """(rows, vocab) -> (rows,): draws among the `width` likeliest tokens, 0 for all."""
    temperature = np.maximum(picking.temperature, TEMPERATURE_MIN)
    if not width:
        shares = torch.softmax(logits / torch.from_numpy(temperature).float()[:, None], 1)
        if picking.min_p.any():
            least = torch.from_numpy(picking.min_p).float()[:, None] * shares.amax(1, keepdim=True)
            shares = torch.where(shares < least, 0.0, shares)
        return _among_all(shares, uniforms)
    found = torch.topk(logits, width)
    tokens, reached = _among_likeliest(
        found.values, found.indices, _whole(logits, picking, temperature), picking, uniforms
    )
    for row in np.flatnonzero(~reached & (width < logits.shape[1])):
        # A flat distribution: top-p needs more tokens than were sorted.
        part = slice(row, row + 1)
        own = Picking(*(values[part] for values in picking))
        every, ids = torch.sort(logits[part], dim=1, descending=True, stable=True)
        whole = _whole(logits[part], own, temperature[part])
        tokens[part], _ = _among_likeliest(every, ids, whole, own, uniforms[part])
    return tokens


def _whole(logits: Tensor, picking: Picking, temperature: np.ndarray) -> np.ndarray:
    """(rows, vocab) -> (rows,): the mass of all tokens where top-p asks for it, in multiples of the
    likeliest's; infinity for rows with a top-k, whose mass is that of the k."""
    whole = np.full(len(logits), np.inf)
    asking = np.flatnonzero(picking.top_k == 0)
    if len(asking):
        rows = torch.from_numpy(asking)
        scaled = logits[rows] / torch.from_numpy(temperature[asking]).float()[:, None]
        whole[asking] = 1 / torch.softmax(scaled, 1).amax(1).numpy().astype(np.float64)
    return whole


def _among_likeliest(
    likeliest: Tensor, ids: Tensor, whole: np.ndarray, picking: Picking, uniforms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, width) logits from the largest on, and whose they are -> (rows,) tokens, and whether
    top-p found all its tokens among these."""
    heads = likeliest.numpy().astype(np.float64)
    temperature = np.maximum(picking.temperature, TEMPERATURE_MIN)
    mass = np.exp((heads - heads[:, :1]) / temperature[:, None])
    edges = np.cumsum(mass, 1)
    aim = picking.top_p * np.minimum(whole, np.where(picking.top_k > 0, edges[:, -1], np.inf))
    reached = (picking.top_k > 0) | (edges[:, -1] >= aim)
    # The first token whose share brings the sum to top_p still counts (Holtzman et al. 2020).
    kept = edges - mass < aim[:, None]
    kept &= mass >= picking.min_p[:, None]
    kept[:, 0] = True
    edges = np.cumsum(mass * kept, 1)
    place = (edges <= (uniforms * edges[:, -1])[:, None]).sum(1)
    # Rounding may put the number on the last edge; the last token kept is meant.
    found: np.ndarray = ids.numpy()[np.arange(len(mass)), np.minimum(place, _last(kept))]
    return found, reached


def _among_all(shares: Tensor, uniforms: np.ndarray) -> np.ndarray:
    """(rows, vocab) -> (rows,): the token on whose share of the sum the number falls.

    First the block of tokens, then the token in it.
    """
    rows, vocab = shares.shape
    blocks = -(-vocab // BLOCK)
    if vocab % BLOCK:
        shares = torch.nn.functional.pad(shares, (0, blocks * BLOCK - vocab))
    filled = shares.view(rows, blocks, BLOCK)
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
