"""The compiled functions of the network, if they are correct on this machine."""

import functools
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from textvae.model.gates import GateFunctions, gates_are_right
from textvae.model.products import LANES_MIN, products_are_right
from textvae.model.recurrence import RecurrenceFunctions, recurrence_is_right
from textvae.model.softmax import SoftmaxFunctions, softmax_is_right
from textvae.native import FLOAT, INT64, POINTER, load_library

COMPILED = "textvae.model._native"


class ModelFunctions(GateFunctions, RecurrenceFunctions, SoftmaxFunctions, Protocol):
    """All compiled functions of the network."""


def native() -> ModelFunctions | None:
    """Return the compiled functions or None; `gru_gates`, `pack_panels`, `recurrence` and
    `total_nats` take them."""
    functions: dict[str, Sequence[Any]] = {
        "gru_step": [INT64] * 3
        + [POINTER, POINTER, INT64, POINTER, POINTER, INT64, *[POINTER] * 4],
        "gru_forwards": [INT64] * 3 + [POINTER] * 5,
        "gru_backwards": [INT64] * 3 + [POINTER] * 6,
        "multiply": [INT64] * 6
        + [POINTER, INT64, POINTER, POINTER, POINTER, FLOAT, POINTER, POINTER, POINTER],
        "softmax_errors": [INT64] * 3 + [POINTER] * 4,
        "lanes_best": [],
    }
    checks = (gates_are_right, products_are_right, recurrence_is_right, softmax_is_right)
    library: ModelFunctions | None = load_library(COMPILED, functions, checks)
    return library


@functools.cache
def native_to_learn() -> ModelFunctions | None:
    """Return `native`, loaded once; None also where vectors are too narrow to be faster."""
    # The first caller may be a step of a run in bf16, and the checks compare in fp32.
    with torch.autocast("cpu", enabled=False):
        library = native()
    return library if library is not None and library.lanes_best() >= LANES_MIN else None
