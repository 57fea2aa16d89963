"""The compiled part, for tests of it."""

import importlib.util
from typing import Any

import pytest

from textvae.decode import native


def found_native() -> Any:
    """The compiled functions; skips where there was no compiler, fails where they are wrong."""
    if importlib.util.find_spec(native.COMPILED) is None:
        pytest.skip("this installation had no compiler")
    found = native.native()
    assert found is not None, "textvae's C was compiled and is wrong"
    return found
