"""The self-test at load: which arithmetic holds on this machine, and what it says of it."""

from pathlib import Path
from typing import Any

import pytest

from tests import toys
from textvae.engine import batch_invariance
from textvae.engine.batch_invariance import check_batch_invariance
from textvae.engine.load import load_version
from textvae.model import products
from textvae.model.native import native
from textvae.model.products import Panels
from textvae.store.promotions import champion


def test_the_self_test_sees_rows_that_depend_on_their_neighbours(registry: Path) -> None:
    """A decoder that mixes its rows is caught; a bucket size that rounds otherwise is left out."""
    loaded = load_version(registry, champion(registry, toys.MODEL))
    assert check_batch_invariance(loaded).exact
    step = loaded.decoder.step

    def by_size(tokens: Any, carried: Any) -> Any:
        logits, carried = step(tokens, carried)
        return logits + 1e-6 * len(tokens), carried

    loaded.decoder.step = by_size  # type: ignore[method-assign]
    assert check_batch_invariance(loaded).loaded.buckets == (64,)

    def mixing(tokens: Any, carried: Any) -> Any:
        logits, carried = step(tokens, carried)
        return logits + 1e-6 * logits[:1], carried

    loaded.decoder.step = mixing  # type: ignore[method-assign]
    found = check_batch_invariance(loaded)
    assert not found.exact
    assert "may differ" in found.words


def test_products_in_c_are_taken_where_they_are_there_wide_and_exact(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those of oneDNN, and the words say which."""
    loaded = load_version(registry, champion(registry, toys.MODEL))
    if native() is None:
        pytest.skip("this installation had no compiler")
    any_number = "fp32, rows exact in any number; products"
    rest = "gates in C, tokens picked in C"
    with monkeypatch.context() as patched:
        patched.setattr(batch_invariance, "LANES_MIN", 1)
        assert check_batch_invariance(loaded).words == f"{any_number} in C, {rest}"
    with monkeypatch.context() as patched:
        patched.setattr(batch_invariance, "LANES_MIN", 99)
        assert check_batch_invariance(loaded).words == f"{any_number} by oneDNN, {rest}"
    right = Panels.__call__

    def by_count(self: Panels, rows: Any) -> Any:
        return right(self, rows) + 1e-6 * (len(rows) == 37)

    with monkeypatch.context() as patched:
        patched.setattr(batch_invariance, "LANES_MIN", 1)
        patched.setattr(Panels, "__call__", by_count)
        assert check_batch_invariance(loaded).words == f"{any_number} by oneDNN, {rest}"
    with monkeypatch.context() as patched:
        patched.setattr(batch_invariance, "native", lambda: None)
        said = f"{any_number} by oneDNN, gates by torch, tokens picked in C"
        assert check_batch_invariance(loaded).words == said


def test_without_such_products_rows_run_in_buckets_and_the_words_say_so(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where torch was built without oneDNN, and where its products depend on neighbours."""
    monkeypatch.setattr(batch_invariance, "native", lambda: None)
    monkeypatch.setattr(batch_invariance, "native_picks", lambda: None)
    loaded = load_version(registry, champion(registry, toys.MODEL))
    product = products.mkldnn._linear_pointwise

    def absent(*_: Any) -> Any:
        raise NotImplementedError("no such operator")

    def by_count(rows: Any, *rest: Any) -> Any:
        return product(rows, *rest) + 1e-6 * (len(rows) == 37)

    for name, broken in (("_reorder_linear_weight", absent), ("_linear_pointwise", by_count)):
        with monkeypatch.context() as patched:
            patched.setattr(products.mkldnn, name, broken)
            found = check_batch_invariance(loaded)
        assert found.loaded.buckets == (8, 16, 32, 64)
        rest = "gates by torch, tokens picked by torch"
        assert found.words == f"fp32, rows exact in buckets of 8, 16, 32, 64; {rest}"
