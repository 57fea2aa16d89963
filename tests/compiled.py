"""The compiled parts, for tests of them."""

import importlib.util
from types import ModuleType
from typing import Any

import pytest

from textvae.decode import native as of_decode
from textvae.model import native as of_model


def load_native(room: ModuleType = of_model) -> Any:
    """Return the compiled functions of the model or of another room; skip where there was no
    compiler, and fail where they are wrong."""
    if importlib.util.find_spec(room.COMPILED) is None:
        pytest.skip("this installation had no compiler")
    library = room.native()
    assert library is not None, f"{room.COMPILED} was compiled and is wrong"
    return library


def load_decode_native() -> Any:
    """Return the compiled functions of decoding."""
    return load_native(of_decode)
