"""What of writing was compiled from C, if it is right on this machine."""

from typing import Any

from textvae.decode.counter import numbers_are_right
from textvae.decode.pick import picks_are_right
from textvae.native import NUMBER, PLACE, WORD, load_library

COMPILED = "textvae.decode._native"


def native() -> Any:
    """The compiled functions, which `pick`, `log_sums`, `words` and `Slots` take, or None."""
    functions = {
        "pick_rows": [NUMBER, NUMBER, NUMBER, PLACE, NUMBER, *[PLACE] * 7],
        "log_sums": [NUMBER, NUMBER, NUMBER, PLACE, NUMBER, PLACE, PLACE],
        "philox_words": [NUMBER, PLACE, PLACE, PLACE, PLACE, WORD, PLACE],
    }
    return load_library(COMPILED, functions, (numbers_are_right, picks_are_right))
