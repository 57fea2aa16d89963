"""The language model in the engine: its nats, and that they depend on no other sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import toys
from tests.stages import Steps
from textvae.config.serve import ServeConfig
from textvae.decode.rows import Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine import batch_invariance
from textvae.engine.batch_invariance import check_batch_invariance
from textvae.engine.limits import Limits
from textvae.engine.load import LoadedVersion, load_networks, load_version
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.plan import Outcome, Planning
from textvae.engine.start import load_engine
from textvae.model import products
from textvae.options import Options
from textvae.store.promotions import champion
from textvae.store.versions import Version
from textvae.text.batches import batch_of
from textvae.text.tokenizer import EOS, Tokenizer

TEXTS = [row.text for row in toys.corpus().test[:150]]


def nats_of(loaded: LoadedVersion, encoded: list[list[int]]) -> np.ndarray:
    """All buckets of the language model at once."""
    return loaded.read_alone(loaded.language_model_nats(encoded))


@pytest.fixture(scope="module")
def encoded(registry: Path) -> list[list[int]]:
    """Sentences of many lengths, the longest of several joined."""
    tokenizer = load_version(registry, champion(registry, toys.MODEL)).tokenizer
    return tokenizer.encode([*TEXTS, "a", " ".join(TEXTS[:4])])


@pytest.fixture(params=["in C", "by oneDNN", "in buckets"])
def loaded(
    request: pytest.FixtureRequest, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LoadedVersion]:
    """The toy version in each arithmetic that the self-test may choose."""

    def absent(*_: Any) -> Any:
        raise NotImplementedError("no such operator")

    if request.param == "in C":
        if batch_invariance.native() is None:
            pytest.skip("this installation had no compiler")
        monkeypatch.setattr(batch_invariance, "LANES_MIN", 1)
    else:
        monkeypatch.setattr(batch_invariance, "LANES_MIN", 99)
    if request.param == "in buckets":
        monkeypatch.setattr(batch_invariance, "native", lambda: None)
        monkeypatch.setattr(batch_invariance, "native_picks", lambda: None)
        monkeypatch.setattr(products.mkldnn, "_reorder_linear_weight", absent)
    found = check_batch_invariance(load_version(registry, champion(registry, toys.MODEL)))
    assert request.param in found.words
    assert found.exact
    return found.loaded


def test_nats_are_those_of_the_language_model(
    loaded: LoadedVersion, toy_version: tuple[Path, Version], encoded: list[list[int]]
) -> None:
    """In the order of the caller, whatever their lengths; the end counts."""
    _, language_model = load_networks(toy_version[1])
    batch = batch_of(encoded)
    tokens, lengths = torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)
    with torch.inference_mode():
        expected = language_model.nats(tokens, lengths, None).numpy()
    found = nats_of(loaded, encoded)
    assert found.dtype == np.float64
    assert found == pytest.approx(expected, rel=1e-4)
    assert nats_of(loaded, []).shape == (0,)


def test_nats_have_the_same_bytes_alone_and_with_others(
    loaded: LoadedVersion, encoded: list[list[int]]
) -> None:
    together = nats_of(loaded, encoded[:33])
    other_way = nats_of(loaded, encoded[:33][::-1])[::-1]
    alone = np.concatenate([nats_of(loaded, [ids]) for ids in encoded[:33]])
    assert alone.tobytes() == together.tobytes() == other_way.tobytes()
    longest = nats_of(loaded, encoded[-1:])
    assert nats_of(loaded, encoded)[-1] == longest[0]


def test_nats_are_computed_a_bucket_at_a_time(
    loaded: LoadedVersion, encoded: list[list[int]]
) -> None:
    few = loaded._replace(buckets=tuple(size for size in loaded.buckets if size <= 8))
    assert list(map(len, few.buckets_of(encoded[:17]))) == [8, 8, 1]
    assert nats_of(few, []).shape == (0,)
    assert nats_of(few, encoded[:17]).tobytes() == nats_of(loaded, encoded[:17]).tobytes()


@torch.inference_mode()
def test_a_row_of_a_language_model_is_scored_alike(
    loaded: LoadedVersion, encoded: list[list[int]]
) -> None:
    """By the slots of the decoder, with a latent that has no columns."""
    assert loaded.language_model is not None
    special = SpecialIds(EOS, Tokenizer.forbidden)
    slots = Slots(loaded.language_model, special, loaded.buckets, loaded.library)
    nothing = np.zeros(0, np.float32)
    slots.admit(
        [Row(None, n, nothing, 1, targets=tuple(ids)) for n, ids in enumerate(encoded[:20])]
    )
    nats = np.zeros(20)
    while slots.running:
        for finished in slots.step():
            nats[finished.row.number] = -finished.log_prob
    assert nats == pytest.approx(nats_of(loaded, encoded[:20]), rel=1e-6)


def test_nats_of_a_version_in_int8_are_those_in_fp32(
    registry: Path, encoded: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if batch_invariance.native() is None:
        pytest.skip("this installation had no compiler")
    monkeypatch.setattr(batch_invariance, "LANES_MIN", 1)
    version = load_version(registry, champion(registry, toys.MODEL))
    reduced, exact = (check_batch_invariance(version, int8=int8) for int8 in (True, False))
    assert (reduced.precision, exact.precision) == ("int8", "fp32")
    both = (nats_of(found.loaded, encoded) for found in (reduced, exact))
    assert next(both).tobytes() == next(both).tobytes()


def test_the_self_test_detects_a_language_model_that_depends_on_neighbours(
    registry: Path,
) -> None:
    loaded = load_version(registry, champion(registry, toys.MODEL))
    language_model = loaded.language_model
    assert language_model is not None
    step = language_model.step

    def mixing(tokens: Any, state: Any) -> Any:
        logits, state = step(tokens, state)
        return logits + 1e-6 * logits[:1], state

    language_model.step = mixing  # type: ignore[method-assign]
    assert not check_batch_invariance(loaded).exact


class Nats(Steps):
    """A request for the nats of sentences."""

    def __init__(self, encoded: list[list[int]]) -> None:
        super().__init__()
        self.encoded, self.rows = encoded, len(encoded)

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[bytes]:
        """Compute them, bucket by bucket."""
        nats = yield from loaded.language_model_nats(self.encoded)
        return Outcome(nats.tobytes(), 0)


def test_a_request_has_the_same_nats_beside_running_rows(
    registry: Path, encoded: list[list[int]]
) -> None:
    with load_engine(registry, toys.MODEL, None, ServeConfig(waiting_rows_max=4096)) as engine:
        alone = engine.answer(Nats(encoded))
        crowd = engine.submit(SampleRequest(64, options=Options(temperature=1.2), seed=99))
        others = [engine.submit(Nats(encoded[first:])) for first in range(5)]
        assert [future.result(60).result for future in others] == [
            alone[8 * first :] for first in range(5)
        ]
        assert len(crowd.result(60).result.sentences) == 64
