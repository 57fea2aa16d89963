"""The compiled parts, for tests of them."""

import importlib.util
from types import ModuleType
from typing import Any

import pytest

from textvae.decode import native as of_decode
from textvae.model import native as of_model


def found_native(room: ModuleType = of_model) -> Any:
    """The model's compiled functions, or another room's; skips where there was no compiler, and
    fails where they are wrong."""
    if importlib.util.find_spec(room.COMPILED) is None:
        pytest.skip("this installation had no compiler")
    found = room.native()
    assert found is not None, f"{room.COMPILED} was compiled and is wrong"
    return found


def found_picks() -> Any:
    """The compiled functions of writing."""
    return found_native(of_decode)
