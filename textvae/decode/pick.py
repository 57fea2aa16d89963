"""Picking the next token of each row from its logits.

A row is sampled by inverse CDF from one number of its own. Nothing here mixes rows: each is sorted,
summed and searched along itself, by kernels whose result is the same for any number of rows, so a
token depends on no other row.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

# A lower temperature is raised to this one: the likeliest token but for ties.
TEMPERATURE_MIN = 1e-6
# Tokens that top-p sorts before it sorts all of the vocabulary.
LIKELIEST = 256
# Tokens of one sum: the inverse CDF of all tokens is searched block by block, then in a block.
BLOCK = 64
# Largest difference between the logarithm of a sum in C and in float64.
TOLERANCE = 2e-6


class PickFunctions(Protocol):
    """The compiled functions of pick.c. Pointers are addresses."""

    def pick_rows(
        self,
        threads: int,
        rows: int,
        vocab: int,
        logits: int,
        stride: int,
        temperature: int,
        top_k: int,
        top_p: int,
        min_p: int,
        uniform: int,
        buffer: int,
        tokens: int,
        /,
    ) -> None:
        """Pick the next token of each row."""

    def log_sums(
        self,
        threads: int,
        rows: int,
        vocab: int,
        logits: int,
        stride: int,
        buffer: int,
        sums: int,
        /,
    ) -> None:
        """Compute the logarithm of the sum of each row's exponentials."""


class Picking(NamedTuple):
    """The options by which each row picks, (rows,) each."""

    temperature: np.ndarray
    """0 takes the likeliest token."""
    top_k: np.ndarray
    """0 for all tokens."""
    top_p: np.ndarray
    """1 for all tokens."""
    min_p: np.ndarray
    """0 for all tokens."""


def pick(
    logits: Tensor, picking: Picking, uniforms: np.ndarray, library: PickFunctions | None = None
) -> np.ndarray:
    """(rows, vocab) and one number in [0, 1) a row -> (rows,) token ids.

    Top-k, then top-p of what that leaves, then min-p, each where it is set. `library`: from
    `native`; None picks by torch and NumPy, the same but for numbers within rounding of an edge.
    """
    if library is not None:
        return _pick_in_c(logits, picking, uniforms, library)
    sampling = np.flatnonzero(picking.temperature > 0)
    if len(sampling) < len(logits):
        tokens = logits.argmax(1).numpy().copy()
    else:
        tokens = np.empty(len(logits), np.int64)
    vocab = logits.shape[1]
    candidates = np.where(picking.top_p < 1, LIKELIEST, 0)
    candidates = np.where(picking.top_k > 0, picking.top_k, candidates)
    # Its own number of candidates decides how a row is sorted, never that of another row.
    widths = np.minimum(candidates, vocab)
    for width in np.unique(widths[sampling]):
        rows = sampling[widths[sampling] == width]
        own = Picking(*(values[rows] for values in picking))
        some = logits if len(rows) == len(logits) else logits[torch.from_numpy(rows)]
        tokens[rows] = _sample(some, own, uniforms[rows], int(width))
    return tokens


def log_sums(logits: Tensor, library: PickFunctions | None = None) -> np.ndarray:
    """(rows, vocab) -> (rows,) float64 logarithms of the sums of their exponentials."""
    if library is None:
        return torch.logsumexp(logits, 1).numpy().astype(np.float64)
    rows, vocab, stride = _rows_of(logits)
    threads = torch.get_num_threads()
    buffer, sums = np.empty((threads, vocab)), np.empty(rows)
    library.log_sums(
        *(threads, rows, vocab, logits.data_ptr(), stride, buffer.ctypes.data, sums.ctypes.data)
    )
    return sums


def _rows_of(logits: Tensor) -> tuple[int, int, int]:
    """Return rows, vocab, and the stride in floats from one row to the next."""
    assert logits.stride(1) == 1, "C reads a row's floats one after the other"
    assert logits.dtype == torch.float32, f"C reads float32, not {logits.dtype}"
    return *logits.shape, logits.stride(0)


def _pick_in_c(
    logits: Tensor, picking: Picking, uniforms: np.ndarray, library: PickFunctions
) -> np.ndarray:
    """(rows, vocab), one number a row -> (rows,) token ids."""
    rows, vocab, stride = _rows_of(logits)
    threads = torch.get_num_threads()
    options = [np.ascontiguousarray(part, np.float64) for part in (*picking, uniforms)]
    options[1] = np.ascontiguousarray(picking.top_k, np.int64)
    buffer, tokens = np.empty((threads, vocab)), np.empty(rows, np.int64)
    addresses = [part.ctypes.data for part in (*options, buffer, tokens)]
    library.pick_rows(threads, rows, vocab, logits.data_ptr(), stride, *addresses)
    return tokens


def picks_are_right(library: PickFunctions) -> bool:
    """Return whether C and torch pick alike and sum alike, for every kind of row."""
    kinds = [(0.0, 0, 1.0, 0.0), (1.0, 0, 1.0, 0.0), (0.7, 40, 1.0, 0.0), (1.2, 0, 0.9, 0.0)]
    kinds += [(5.0, 0, 0.99, 0.0), (1.0, 0, 1.0, 0.05), (1.0, 7, 0.8, 0.1), (2.0, 4000, 1.0, 0.0)]
    logits = 2 * torch.randn(len(kinds), 2003, generator=torch.Generator().manual_seed(0))
    logits[:, 1] = -torch.inf
    picking = Picking(*(np.array(column) for column in zip(*kinds, strict=True)))
    numbers = np.linspace(0.05, 0.95, len(kinds))
    same = np.array_equal(pick(logits, picking, numbers, library), pick(logits, picking, numbers))
    error = np.abs(log_sums(logits, library) - torch.logsumexp(logits.double(), 1).numpy())
    return same and float(error.max()) < TOLERANCE


def _sample(logits: Tensor, picking: Picking, uniforms: np.ndarray, width: int) -> np.ndarray:
    """(rows, vocab) -> (rows,): sample among the `width` likeliest tokens, 0 for all."""
    temperature = np.maximum(picking.temperature, TEMPERATURE_MIN)
    if not width:
        shares = torch.softmax(logits / torch.from_numpy(temperature).float()[:, None], 1)
        if picking.min_p.any():
            least = torch.from_numpy(picking.min_p).float()[:, None] * shares.amax(1, keepdim=True)
            shares = torch.where(shares < least, 0.0, shares)
        return _sample_all(shares, uniforms)
    top = torch.topk(logits, width)
    totals = _total_mass(logits, picking, temperature)
    tokens, reached = _sample_likeliest(top.values, top.indices, totals, picking, uniforms)
    for row in np.flatnonzero(~reached & (width < logits.shape[1])):
        # A flat distribution: top-p needs more tokens than were sorted.
        part = slice(row, row + 1)
        own = Picking(*(values[part] for values in picking))
        every, ids = torch.sort(logits[part], dim=1, descending=True, stable=True)
        total = _total_mass(logits[part], own, temperature[part])
        tokens[part], _ = _sample_likeliest(every, ids, total, own, uniforms[part])
    return tokens


def _total_mass(logits: Tensor, picking: Picking, temperature: np.ndarray) -> np.ndarray:
    """(rows, vocab) -> (rows,): the mass of all tokens in multiples of the likeliest one's.

    Infinity for rows with a top-k, whose top-p is a share of the mass of the k.
    """
    total = np.full(len(logits), np.inf)
    without_k = np.flatnonzero(picking.top_k == 0)
    if len(without_k):
        rows = torch.from_numpy(without_k)
        scaled = logits[rows] / torch.from_numpy(temperature[without_k]).float()[:, None]
        total[without_k] = 1 / torch.softmax(scaled, 1).amax(1).numpy().astype(np.float64)
    return total


def _sample_likeliest(
    likeliest: Tensor, ids: Tensor, total: np.ndarray, picking: Picking, uniforms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, width) logits from the largest on, and their token ids -> (rows,) tokens, and whether
    these hold all tokens of top-p."""
    heads = likeliest.numpy().astype(np.float64)
    temperature = np.maximum(picking.temperature, TEMPERATURE_MIN)
    mass = np.exp((heads - heads[:, :1]) / temperature[:, None])
    edges = np.cumsum(mass, 1)
    aim = picking.top_p * np.minimum(total, np.where(picking.top_k > 0, edges[:, -1], np.inf))
    reached = (picking.top_k > 0) | (edges[:, -1] >= aim)
    # The first token whose share brings the sum to top_p still counts (Holtzman et al. 2020).
    nucleus = edges - mass < aim[:, None]
    nucleus &= mass >= picking.min_p[:, None]
    nucleus[:, 0] = True
    edges = np.cumsum(mass * nucleus, 1)
    rank = (edges <= (uniforms * edges[:, -1])[:, None]).sum(1)
    # Rounding may put the number on the last edge, which is the last token of the nucleus.
    rank = np.minimum(rank, _last_index(nucleus))
    tokens: np.ndarray = ids.numpy()[np.arange(len(mass)), rank]
    return tokens, reached


def _sample_all(shares: Tensor, uniforms: np.ndarray) -> np.ndarray:
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
    block = np.minimum((edges <= aim[:, None]).sum(1), _last_index(sums))
    every = np.arange(rows)
    rest = aim - np.where(block > 0, edges[every, block - 1], 0.0)
    inside = filled[torch.from_numpy(every), torch.from_numpy(block)].numpy().astype(np.float64)
    offset = np.minimum((np.cumsum(inside, 1) <= rest[:, None]).sum(1), _last_index(inside))
    tokens: np.ndarray = block * BLOCK + offset
    return tokens


def _last_index(mass: np.ndarray) -> np.ndarray:
    """(rows, n) -> (rows,): the last index with any mass, past which rounding must not lead."""
    last: np.ndarray = mass.shape[1] - 1 - np.argmax(mass[:, ::-1] > 0, 1)
    return last
