"""Picking the next token of each row from its logits."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Picking(NamedTuple):
    """How each row picks, (rows,) each."""

    temperature: np.ndarray
    """0 takes the likeliest token."""
    top_k: np.ndarray
    """0 for all tokens."""
    top_p: np.ndarray
    """1 for all tokens."""


def pick(logits: Tensor, picking: Picking, uniforms: np.ndarray) -> np.ndarray:
    """(rows, vocab) and one number in [0, 1) a row -> (rows,) token ids.

    Rows that draw do so by inverse CDF; each row is worked on alone, so its token depends on no
    other row.
    """
    tokens = logits.argmax(1).numpy().copy()
    for row in np.flatnonzero(picking.temperature > 0):
        # Shifted first: a tiny temperature would else make infinities of all logits.
        scaled = (logits[row] - logits[row].max()).double() / float(picking.temperature[row])
        tokens[row] = _draw(
            scaled, int(picking.top_k[row]), float(picking.top_p[row]), float(uniforms[row])
        )
    return tokens


def _draw(scaled: Tensor, top_k: int, top_p: float, uniform: float) -> int:
    """(vocab,) and a number in [0, 1) -> the id drawn among what top-k and top-p leave."""
    mass = torch.softmax(scaled, 0)
    order = None
    if 0 < top_k < len(mass):
        mass, order = torch.topk(mass, top_k)
    elif top_p < 1:
        mass, order = torch.sort(mass, descending=True, stable=True)
    if top_p < 1:
        # The first token whose mass brings the sum to top_p still counts (Holtzman et al. 2020).
        before = torch.cumsum(mass, 0) - mass
        kept = before < top_p * mass.sum()
        kept[0] = True
        mass = mass * kept
    edges = torch.cumsum(mass, 0)
    place = int(torch.searchsorted(edges, uniform * float(edges[-1]), right=True))
    # Rounding may put the number on the last edge; the last token with any mass is meant.
    place = min(place, int(torch.nonzero(mass)[-1]))
    return place if order is None else int(order[place])
