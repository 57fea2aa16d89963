"""C that was compiled when textvae was installed: loaded where it exists and passes its checks.

`model/native.py` and `decode/native.py` declare the functions. Without a compiler only speed is
lost: torch and NumPy compute the same.
"""

import ctypes
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)

NUMBER, WORD, REAL, PLACE = ctypes.c_int64, ctypes.c_uint64, ctypes.c_float, ctypes.c_void_p


def load_library(
    module: str, functions: Mapping[str, Sequence[Any]], checks: Sequence[Callable[[Any], bool]]
) -> Any:
    """Load the compiled `functions`, given by name with the types of their arguments.

    A function without arguments returns a number, the others nothing. Return None where nothing was
    compiled or where one of the checks fails; the log says so.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        log.info("%s was not compiled when textvae was installed, so torch does its work", module)
        return None
    try:
        library = ctypes.CDLL(found.origin)
    except OSError as error:
        log.warning("%s cannot be loaded, so torch does its work: %s", module, error)
        return None
    for name, arguments in functions.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None if arguments else NUMBER
    for is_right in checks:
        if not is_right(library):
            log.warning("%s is wrong here (%s), so torch does its work", module, is_right.__name__)
            return None
    return library
