"""The self-test at load: which arithmetic holds on this machine, and what it says of it."""

from pathlib import Path
from typing import Any

import pytest

from tests import toys
from textvae.engine.loaded import load_version
from textvae.engine.proof import prove
from textvae.model import exact
from textvae.model.gates import compiled_gates
from textvae.store.promotions import champion


def test_the_self_test_sees_rows_that_depend_on_their_neighbours(registry: Path) -> None:
    """A decoder that mixes its rows is caught; a bucket size that rounds otherwise is left out."""
    loaded = load_version(registry, champion(registry, toys.MODEL))
    assert prove(loaded).exact
    step = loaded.decoder.step

    def by_size(tokens: Any, carried: Any) -> Any:
        logits, carried = step(tokens, carried)
        return logits + 1e-6 * len(tokens), carried

    loaded.decoder.step = by_size  # type: ignore[method-assign]
    assert prove(loaded).loaded.buckets == (64,)

    def mixing(tokens: Any, carried: Any) -> Any:
        logits, carried = step(tokens, carried)
        return logits + 1e-6 * logits[:1], carried

    loaded.decoder.step = mixing  # type: ignore[method-assign]
    found = prove(loaded)
    assert not found.exact
    assert "may differ" in found.words


def test_without_onednn_rows_run_in_buckets_and_the_words_say_so(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where torch was built without it, and where its products depend on their neighbours."""
    loaded = load_version(registry, champion(registry, toys.MODEL))
    gates = "by torch" if compiled_gates() is None else "in C"
    assert prove(loaded).words == f"fp32, rows exact in any number, by oneDNN; gates {gates}"
    product = exact.mkldnn._linear_pointwise

    def absent(*_: Any) -> Any:
        raise NotImplementedError("no such operator")

    def by_count(rows: Any, *rest: Any) -> Any:
        return product(rows, *rest) + 1e-6 * (len(rows) == 37)

    for name, broken in (("_reorder_linear_weight", absent), ("_linear_pointwise", by_count)):
        with monkeypatch.context() as patched:
            patched.setattr(exact.mkldnn, name, broken)
            found = prove(loaded)
        assert found.loaded.buckets == (8, 16, 32, 64)
        assert found.words == f"fp32, rows exact in buckets of 8, 16, 32, 64; gates {gates}"
