"""What was compiled from C when textvae was installed, if it is right on this machine."""

import ctypes
import importlib.util
import logging
from typing import Any

from textvae.model.gates import gates_are_right
from textvae.model.products import products_are_right

log = logging.getLogger(__name__)

COMPILED = "textvae.model._native"


def native() -> Any:
    """The compiled functions, for `gru_gates` and `in_panels`; None where there are none, or none
    that are right, which the log says."""
    found = importlib.util.find_spec(COMPILED)
    if found is None or found.origin is None:
        log.info("textvae's C was not compiled when it was installed, so torch does its work")
        return None
    try:
        library = ctypes.CDLL(found.origin)
    except OSError as error:
        log.warning("textvae's C cannot be loaded, so torch does its work: %s", error)
        return None
    number, place = ctypes.c_int64, ctypes.c_void_p
    library.gru_step.argtypes = [
        *(number, number, place, place, number, place),
        *(place, number, place, place, place, place),
    ]
    library.gru_step.restype = None
    library.multiply.argtypes = [
        *([number] * 6),
        *(place, number, place, place, place, ctypes.c_float, place, place, place),
    ]
    library.multiply.restype = None
    library.lanes_best.restype = number
    if not (gates_are_right(library) and products_are_right(library)):
        log.warning("textvae's C is wrong on this machine, so torch does its work")
        return None
    return library
