"""How requests share the engine: which one waits, and what a cancelled one leaves behind."""

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests import toys
from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.operations.encode import EncodeRequest, EncodeResult
from textvae.engine.operations.interpolate import InterpolateRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.operations.score import ScoreRequest
from textvae.engine.start import load_engine
from textvae.options import Options

ONE, OTHER = "The child will sing a song at home.", "The old kings rode the brown horse outside."
MANY = tuple(row.text for row in toys.corpus().test[:1000])
BUCKETS = -(-len(MANY) // 64)


@pytest.fixture(scope="module")
def engine(registry: Path) -> Iterator[Engine]:
    """An engine of the toy version."""
    running = load_engine(registry, toys.MODEL, None, ServeConfig(waiting_rows_max=8192))
    yield running
    assert running.close(30)


@pytest.fixture
def encoded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sentences of each bucket that was encoded, in order."""
    seen: list[int] = []
    encoder = engine._loaded.encoder
    real = encoder.encode

    def encode(tokens: Any, *rest: Any) -> Any:
        seen.append(len(tokens))
        return real(tokens, *rest)

    monkeypatch.setattr(encoder, "encode", encode)
    return seen


def test_a_long_encode_delays_neither_rows_nor_small_requests(engine: Engine) -> None:
    """One bucket of it is encoded between two steps, so a request with less to encode passes it."""
    long = engine.submit(EncodeRequest(MANY))
    small = [engine.submit(InterpolateRequest((ONE, OTHER), 5)) for _ in range(3)]
    sampled = engine.submit(SampleRequest(2, seed=1))
    for future in (*small, sampled):
        future.result(60)
    assert not long.done(), "the long one went first"
    together = cast(EncodeResult, long.result(60).result)
    some = engine.answer(EncodeRequest(MANY[:100]))
    assert np.array_equal(some.mean, together.mean[:100])


def test_long_encodes_take_turns(engine: Engine, encoded: list[int]) -> None:
    """So that the second is not behind all of the first."""
    first = engine.submit(EncodeRequest(MANY))
    second = engine.submit(EncodeRequest(MANY[:192]))
    second.result(60)
    done = len(encoded)
    first.result(60)
    assert done < BUCKETS + 3 == len(encoded)


def test_a_cancelled_encode_is_abandoned_between_two_buckets(
    engine: Engine, encoded: list[int]
) -> None:
    long = [engine.submit(EncodeRequest(MANY)) for _ in range(4)]
    assert all(one.cancel() for one in long)
    engine.answer(EncodeRequest((ONE,)))
    assert encoded[-1] == 1
    assert len(encoded) < BUCKETS, "encoded without a caller"
    assert engine.load().waiting_rows == 0


def test_a_cancelled_row_has_left_its_slot_by_the_step_after_next(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in steps that the engine makes, and by a request that then has the slots."""
    rows: list[int] = []
    real = engine._interactive.slots.step

    def step() -> Any:
        rows.append(engine._interactive.slots.running)
        return real()

    monkeypatch.setattr(engine._interactive.slots, "step", step)
    endless = Options(temperature=10.0, tokens_max=128)
    full = engine.submit(SampleRequest(1024, options=endless, seed=1))
    until = time.monotonic() + 20
    while 64 not in rows:
        assert time.monotonic() < until, "the slots were never full"
        time.sleep(0.001)
    assert full.cancel()
    steps = len(rows)
    engine.answer(SampleRequest(3, seed=1))
    assert rows[steps - 1] == 64
    assert max(rows[steps + 1 :]) <= 3


def test_a_cancelled_request_frees_its_rows(engine: Engine) -> None:
    long = engine.submit(ScoreRequest((ONE,) * 40, 100))
    assert long.cancel()
    with pytest.raises(CancelledError):
        long.result(0)
    until = time.monotonic() + 10
    while engine.load().active_rows + engine.load().waiting_rows:
        assert time.monotonic() < until, f"{engine.load()} after ten seconds"
        time.sleep(0.01)
