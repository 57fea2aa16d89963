"""The self-test at load: which arithmetic passes on this machine, and how it is described."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import toys
from textvae.config.serve import ServeConfig
from textvae.engine import batch_invariance
from textvae.engine.batch_invariance import check_batch_invariance
from textvae.engine.load import LoadedVersion, load_version
from textvae.engine.start import load_engine, start_engine
from textvae.errors import InputError, NotFoundError
from textvae.model import products
from textvae.model.native import native
from textvae.model.products import Panels
from textvae.store.promotions import champion


def test_the_self_test_detects_rows_that_depend_on_their_neighbours(registry: Path) -> None:
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


def test_products_in_c_are_used_where_they_are_compiled_wide_and_exact(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those of oneDNN; the description names them."""
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
        words = f"{any_number} by oneDNN, gates by torch, tokens picked in C"
        assert check_batch_invariance(loaded).words == words


def test_without_such_products_rows_run_in_buckets_and_the_description_names_them(
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


@pytest.fixture
def small(registry: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedVersion:
    """The toy version in buckets of 8 and 16 rows, whose products are torch's own."""

    def absent(*_: Any) -> Any:
        raise NotImplementedError("no such operator")

    monkeypatch.setattr(batch_invariance, "native", lambda: None)
    monkeypatch.setattr(products.mkldnn, "_reorder_linear_weight", absent)
    loaded = load_version(registry, champion(registry, toys.MODEL))
    return loaded._replace(buckets=(8, 16))


def test_a_step_that_depends_on_the_index_of_a_row_is_not_exact(small: LoadedVersion) -> None:
    """In no bucket, and with what the first rows of every bucket have in common."""
    assert check_batch_invariance(small).loaded.buckets == (8, 16)
    step = small.decoder.step

    def by_index(tokens: Any, state: Any) -> Any:
        logits, state = step(tokens, state)
        return logits + 1e-5 * torch.arange(len(tokens))[:, None], state

    small.decoder.step = by_index  # type: ignore[method-assign]
    found = check_batch_invariance(small)
    assert (found.exact, found.loaded.buckets) == (False, (8, 16))


@pytest.mark.parametrize("part", ["mean", "logvar"])
def test_posteriors_that_depend_on_the_bucket_leave_the_largest_alone(
    small: LoadedVersion, part: str
) -> None:
    encode = small.encoder.encode

    def by_size(tokens: Any, back: Any, lengths: Any, buckets: Any) -> Any:
        posterior = encode(tokens, back, lengths, buckets)
        return posterior._replace(**{part: getattr(posterior, part) + 1e-5 * buckets[-1]})

    small.encoder.encode = by_size  # type: ignore[method-assign]
    found = check_batch_invariance(small)
    assert (found.exact, found.loaded.buckets) == (True, (16,))
    assert found.words.startswith("fp32, rows exact in one bucket of 16; gates by torch")


def test_a_product_that_depends_on_the_index_of_a_row_is_not_used(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_invariance, "LANES_MIN", 1)
    monkeypatch.setattr(batch_invariance, "_steps_agree", lambda *_: True)
    loaded = load_version(registry, champion(registry, toys.MODEL))._replace(buckets=(8,))
    right = Panels.__call__
    assert "products in C" in check_batch_invariance(loaded).words

    def by_index(self: Panels, rows: Any) -> Any:
        return right(self, rows) + 1e-5 * torch.arange(len(rows))[:, None]

    monkeypatch.setattr(Panels, "__call__", by_index)
    found = check_batch_invariance(loaded)
    assert "products in C" not in found.words
    assert found.loaded.buckets in ((8,), tuple(range(1, 9)))


def test_an_engine_of_other_slots_than_a_bucket_is_refused(registry: Path) -> None:
    version = champion(registry, toys.MODEL)
    message = r"^serve.slots: must be one of 8, 16, 32, 64, got 9$"
    with pytest.raises(InputError, match=message):
        start_engine(registry, version, ServeConfig(slots=9))
    with start_engine(registry, version, ServeConfig(slots=8, threads=1)) as engine:
        assert engine.load().slots == 8
    with pytest.raises(NotFoundError):
        load_engine(registry, toys.MODEL, "20200101-0123456789ab", ServeConfig(slots=8))
