"""C that was compiled when textvae was installed: loaded where it is present and correct.

`model/native.py` and `decode/native.py` list the functions. Without a compiler only speed is lost:
torch and NumPy compute the same.
"""

import ctypes
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)

# Types of arguments: int64_t, uint64_t, float, and a pointer to anything.
INT64, UINT64, FLOAT, POINTER = ctypes.c_int64, ctypes.c_uint64, ctypes.c_float, ctypes.c_void_p


def load_library(
    module: str, functions: Mapping[str, Sequence[Any]], checks: Sequence[Callable[[Any], bool]]
) -> Any:
    """Return the compiled `functions`, by name with the types of their arguments.

    One without arguments returns an int64_t, the others return nothing. The result is None if the
    module is missing or if one of the checks finds it wrong; the log says so.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        log.info("%s was not compiled when textvae was installed, so torch does its work", module)
        return None
    try:
        library = ctypes.CDLL(spec.origin)
    except OSError as error:
        log.warning("%s cannot be loaded, so torch does its work: %s", module, error)
        return None
    for name, arguments in functions.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None if arguments else INT64
    for is_right in checks:
        if not is_right(library):
            log.warning("%s is wrong here (%s), so torch does its work", module, is_right.__name__)
            return None
    return library
