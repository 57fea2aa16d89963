"""What of the network was compiled from C, if it is right on this machine."""

import functools
from collections.abc import Sequence
from typing import Any

import torch

from textvae.model.gates import gates_are_right
from textvae.model.products import LANES_MIN, products_are_right
from textvae.model.recurrence import recurrence_is_right
from textvae.model.softmax import softmax_is_right
from textvae.native import NUMBER, PLACE, REAL, load_library

COMPILED = "textvae.model._native"


def native() -> Any:
    """The compiled functions, which `gru_gates`, `in_panels`, `recurrence` and `total_nats`
    take, or None."""
    functions: dict[str, Sequence[Any]] = {
        "gru_step": [NUMBER] * 3 + [PLACE, PLACE, NUMBER, PLACE, PLACE, NUMBER, *[PLACE] * 4],
        "gru_forwards": [NUMBER] * 3 + [PLACE] * 5,
        "gru_backwards": [NUMBER] * 3 + [PLACE] * 6,
        "multiply": [NUMBER] * 6 + [PLACE, NUMBER, PLACE, PLACE, PLACE, REAL, PLACE, PLACE, PLACE],
        "softmax_errors": [NUMBER] * 3 + [PLACE] * 4,
        "lanes_best": [],
    }
    checks = (gates_are_right, products_are_right, recurrence_is_right, softmax_is_right)
    return load_library(COMPILED, functions, checks)


@functools.cache
def native_to_learn() -> Any:
    """`native`, looked for once; None also where vectors are too narrow to be faster than torch."""
    # The first step of a run in bf16 may be the first to ask, and the checks compare in fp32.
    with torch.autocast("cpu", enabled=False):
        library = native()
    return library if library is not None and library.lanes_best() >= LANES_MIN else None
