"""The compiled functions: used where they are present and correct, else torch does their work."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.compiled import load_decode_native, load_native
from textvae.decode import counter, pick
from textvae.decode import native as of_decode
from textvae.decode.pick import Picking
from textvae.model import gates, products, recurrence
from textvae.model import native as of_model
from textvae.model.products import LANES_MIN, Panels


@pytest.mark.parametrize("room", [of_model, of_decode])
def test_what_is_missing_or_no_library_is_not_taken(
    room: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Torch does its work, and the log says why."""
    with monkeypatch.context() as patched, caplog.at_level(logging.INFO):
        patched.setattr(room, "COMPILED", "textvae.model._nothing")
        assert room.native() is None
    assert "textvae.model._nothing was not compiled when textvae was installed" in caplog.text
    with monkeypatch.context() as patched, caplog.at_level(logging.INFO):
        # A file that is no shared object.
        patched.setattr(room, "COMPILED", "textvae.model.gates")
        assert room.native() is None
    assert "textvae.model.gates cannot be loaded" in caplog.text


@pytest.mark.parametrize(
    ("room", "part", "name", "value", "said"),
    [
        (of_model, gates, "TOLERANCE", 0.0, "gates_are_right"),
        (of_model, products, "TOLERANCE", 0.0, "products_are_right"),
        (of_model, recurrence, "TOLERANCE", 0.0, "recurrence_is_right"),
        (of_decode, pick, "TOLERANCE", 0.0, "picks_are_right"),
        (of_decode, pick, "_last_index", lambda mass: np.zeros(len(mass), int), "picks_are_right"),
        (of_decode, counter, "ROUNDS", 9, "numbers_are_right"),
    ],
)
def test_a_machine_on_which_it_is_wrong_goes_without_it(
    room: Any,
    part: Any,
    name: str,
    value: Any,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each function is checked against torch or NumPy."""
    load_native(room)
    monkeypatch.setattr(part, name, value)
    assert room.native() is None
    assert f"is wrong here ({said})" in caplog.text


def test_it_is_found_in_the_middle_of_an_inference() -> None:
    """Where the self-test at load asks for it; its own check of gradients must not mind."""
    load_native()
    with torch.inference_mode():
        assert load_native() is not None


def test_a_product_that_is_wrong_for_one_number_of_rows_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each number of rows up to a tile's has a path of its own through C."""
    library = load_native()
    right = Panels.__call__
    for count in range(1, 25):

        def wrong(self: Panels, rows: Tensor, count: int = count) -> Tensor:
            return right(self, rows) + 0.1 * (len(rows) == count)

        with monkeypatch.context() as patched:
            patched.setattr(Panels, "__call__", wrong)
            assert not products.products_are_right(library), count
    assert products.products_are_right(library)


def test_a_run_in_bf16_may_be_the_first_to_load_the_compiled_part() -> None:
    """The checks need torch's products in fp32, also within a step in bf16."""
    of_model.native_to_learn.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):
        found = of_model.native_to_learn()
    assert (found is None) == (of_model.native() is None or load_native().lanes_best() < LANES_MIN)


KINDS: dict[str, Callable[[Picking], np.ndarray]] = {
    "greedy": lambda picking: picking.temperature == 0,
    "no options": lambda picking: ~(is_cut(picking) | (picking.temperature == 0)),
    "top-k": lambda picking: (picking.top_k > 0) & (picking.top_k < 100) & (picking.top_p == 1),
    "top-p": lambda picking: (picking.top_k == 0) & (picking.top_p < 0.95),
    "top-p of a flat row": lambda picking: (picking.temperature > 4) & (picking.top_p < 1),
    "min-p": lambda picking: (picking.min_p > 0) & (picking.top_k == 0) & (picking.top_p == 1),
    "all three": lambda picking: (picking.min_p > 0) & (picking.top_k > 0) & (picking.top_p < 1),
    "more than the vocabulary": lambda picking: picking.top_k > 2003,
    "cold": lambda picking: (picking.temperature > 0) & (picking.temperature < 1),
    "hot": lambda picking: picking.temperature > 1,
}


def is_cut(picking: Picking) -> np.ndarray:
    """(rows,) whether a row samples among some of the tokens only."""
    return np.asarray((picking.top_k > 0) | (picking.top_p < 1) | (picking.min_p > 0))


@pytest.mark.parametrize("kind", KINDS)
def test_picks_that_are_wrong_for_one_kind_of_row_are_found_out(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind has a path of its own through C."""
    library, right = load_decode_native(), pick._pick_in_c

    def wrong(logits: Tensor, picking: Picking, uniforms: np.ndarray, library: Any) -> np.ndarray:
        assert not logits[:, 1].isfinite().any(), "a forbidden token is part of the check"
        assert uniforms.max() < 1, "a number that no row is given would hide a wrong edge"
        return right(logits, picking, uniforms, library) + KINDS[kind](picking)

    assert pick.picks_are_right(library)
    monkeypatch.setattr(pick, "_pick_in_c", wrong)
    assert not pick.picks_are_right(library)
