"""The compiled functions of decoding, if they are correct on this machine."""

from typing import Protocol

from textvae.decode.counter import CounterFunctions, numbers_are_right
from textvae.decode.pick import PickFunctions, picks_are_right
from textvae.native import INT64, POINTER, UINT64, load_library

COMPILED = "textvae.decode._native"


class DecodeFunctions(CounterFunctions, PickFunctions, Protocol):
    """All compiled functions of decoding."""


def native() -> DecodeFunctions | None:
    """Return the compiled functions or None; `pick`, `log_sums`, `words` and `Slots` take them."""
    functions = {
        "pick_rows": [INT64, INT64, INT64, POINTER, INT64, *[POINTER] * 7],
        "log_sums": [INT64, INT64, INT64, POINTER, INT64, POINTER, POINTER],
        "philox_words": [INT64, POINTER, POINTER, POINTER, POINTER, UINT64, POINTER],
    }
    checks = (numbers_are_right, picks_are_right)
    library: DecodeFunctions | None = load_library(COMPILED, functions, checks)
    return library
