"""What was compiled from C when textvae was installed, if it is right on this machine."""

import ctypes
import importlib.util
import logging
from typing import Any

from textvae.decode.counter import numbers_are_right
from textvae.decode.pick import picks_are_right
from textvae.model.gates import gates_are_right
from textvae.model.products import products_are_right

log = logging.getLogger(__name__)

COMPILED = "textvae.decode._native"


def native() -> Any:
    """The compiled functions, which `Slots`, `gru_gates` and `in_panels` take.

    None where there are none, or none that are right, which the log says.
    """
    found = importlib.util.find_spec(COMPILED)
    if found is None or found.origin is None:
        log.info("textvae's C was not compiled when it was installed, so torch does its work")
        return None
    try:
        library = ctypes.CDLL(found.origin)
    except OSError as error:
        log.warning("textvae's C cannot be loaded, so torch does its work: %s", error)
        return None
    number, place, real = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
    for name, arguments in {
        "gru_step": [number, number, place, place, number, place, place, number] + [place] * 4,
        "multiply": [number] * 6 + [place, number, place, place, place, real, place, place, place],
        "pick_rows": [number, number, number, place, number] + [place] * 7,
        "log_sums": [number, number, number, place, number, place, place],
        "philox_uniforms": [number, place, place, place, place, ctypes.c_uint64, place],
    }.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    library.lanes_best.restype = number
    for is_right in (gates_are_right, products_are_right, numbers_are_right, picks_are_right):
        if not is_right(library):
            log.warning("textvae's C is wrong here (%s), so torch does its work", is_right.__name__)
            return None
    return library
