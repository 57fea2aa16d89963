"""What callers share in the engine: buckets of sentences, steps, and time that is over."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import toys
from tests.stages import Stages, Steps, closed_gate, idle, loaded_for
from textvae.config.serve import ServeConfig
from textvae.engine.caller import Caller
from textvae.engine.engine import Engine
from textvae.engine.operations.encode import EncodeRequest
from textvae.errors import BusyError, ExpiredError, InputError
from textvae.options import Options

SLOTS = 8
BULK = Caller("job", is_bulk=True)
TEXTS = tuple(row.text for row in toys.corpus().test[:20])


@pytest.fixture(scope="module")
def version(registry: Path) -> Any:
    """The toy version and its parts, in batches of few rows."""
    return loaded_for(registry, SLOTS)


@pytest.fixture
def engine(version: Any) -> Iterator[Engine]:
    """An engine of few slots; every test leaves it without work."""
    with Engine(*version, "by hand", ServeConfig(threads=1)) as engine:
        yield engine
        idle(engine, SLOTS)


@pytest.fixture
def read(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sentences of each bucket that the encoder reads."""
    seen: list[int] = []
    real = engine._loaded.encoder.encode

    def encode(tokens: Any, *rest: Any) -> Any:
        seen.append(len(tokens))
        return real(tokens, *rest)

    monkeypatch.setattr(engine._loaded.encoder, "encode", encode)
    return seen


def test_sentences_of_many_calls_are_read_in_one_bucket(engine: Engine, read: list[int]) -> None:
    """And have the same bytes as alone."""
    gate = closed_gate(engine)
    futures = [
        engine.submit(EncodeRequest((text,)), Caller(f"caller-{number}"))
        for number, text in enumerate(TEXTS)
    ]
    gate.open.set()
    together = [future.result(60).result.mean for future in futures]
    assert sum(read) == len(TEXTS)
    assert len(read) <= len(TEXTS) // 2
    for text, mean in zip(TEXTS, together, strict=True):
        assert np.array_equal(engine.answer(EncodeRequest((text,))).mean, mean)


def test_one_who_asks_for_little_is_read_beside_one_who_asks_for_much(
    engine: Engine, read: list[int]
) -> None:
    gate = closed_gate(engine)
    much = engine.submit(EncodeRequest(TEXTS * 10), Caller("much"))
    little = engine.submit(EncodeRequest(TEXTS[:1]), Caller("little"))
    gate.open.set()
    little.result(60)
    assert len(read) <= 2
    assert not much.done()
    much.result(60)


def test_bulk_work_gives_way_and_still_goes_on(engine: Engine) -> None:
    gate = closed_gate(engine)
    ended: list[str] = []
    bulk = engine.submit(Steps(*[40] * SLOTS), BULK)
    work = engine.submit(Steps(*[40] * SLOTS), Caller("person"))
    bulk.add_done_callback(lambda _: ended.append("bulk"))
    work.add_done_callback(lambda _: ended.append("work"))
    gate.open.set()
    assert work.result(60).batch_rows == bulk.result(60).batch_rows == SLOTS, "they shared a step"
    assert ended == ["work", "bulk"]


def test_bulk_work_has_its_share_beside_interactive_work_without_end(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lane in (engine._interactive, engine._bulk):
        monkeypatch.setattr(type(lane), "has_work", property(lambda _: True))
    lanes = [engine._next_lane() for _ in range(160)]
    assert lanes.count(engine._bulk) == 10
    monkeypatch.undo()


def test_a_call_whose_time_is_over_gets_no_more_work(engine: Engine) -> None:
    """Neither one that waits nor one that runs."""
    gate = closed_gate(engine)
    now = time.monotonic()
    late = engine.submit(Steps(5), deadline_s=now + 0.05)
    long = Steps(*[40] * 4000, options=Options(temperature=10.0))
    endless = engine.submit(long, deadline_s=now + 0.5)
    time.sleep(0.1)
    gate.open.set()
    for future in (late, endless):
        with pytest.raises(ExpiredError, match="time was over before its answer"):
            future.result(60)
    idle(engine, SLOTS)


def test_a_standstill_is_no_life(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that has nothing to do may stand still for ever; one that has work may not."""
    idle(engine, SLOTS)
    monkeypatch.setattr("textvae.engine.engine.STANDSTILL_S", 0.05)
    time.sleep(0.1)
    assert engine.is_alive
    gate = closed_gate(engine)
    time.sleep(0.1)
    assert not engine.is_alive
    gate.open.set()
    idle(engine, SLOTS)
    assert engine.is_alive


def test_an_engine_whose_thread_has_ended_is_not_alive(version: Any) -> None:
    engine = Engine(*version, "by hand", ServeConfig(threads=1))
    assert engine.is_alive
    engine.close(60)
    assert not engine.is_alive


def test_the_engine_publishes_how_many_call_and_how_even_their_shares_are(engine: Engine) -> None:
    assert (engine.load().callers, engine.figures().spread) == (0, 0.0)
    gate = closed_gate(engine)
    futures = [engine.submit(Steps(3), Caller(name)) for name in ("one", "other")]
    assert engine.load().callers == 3
    gate.open.set()
    for future in futures:
        future.result(60)
    idle(engine, SLOTS)
    assert engine.load().callers == 0


@pytest.mark.parametrize("pair", ["x", "x=", "x=a", "=1", "x=0", "x=-1", "x=nan", "x=1e9"])
def test_a_weight_that_is_none_is_refused(pair: str) -> None:
    with pytest.raises(InputError, match=r"^serve.caller_weights: must be NAME=SHARE"):
        ServeConfig(caller_weights=(pair,))


def test_weights_are_of_names() -> None:
    assert ServeConfig(caller_weights=("reports=0.5", "web=2")).weights == {
        "reports": 0.5,
        "web": 2.0,
    }


def test_cancelled_calls_of_other_threads_leave_no_accounts(engine: Engine) -> None:
    """Though they are cancelled at any moment."""
    stop = threading.Event()

    def cancel() -> None:
        while not stop.is_set():
            try:
                engine.submit(EncodeRequest(TEXTS[:3]), Caller("walker")).cancel()
            except BusyError:
                time.sleep(0.001)

    threads = [threading.Thread(target=cancel) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        engine.answer(EncodeRequest(TEXTS[:2]))
    stop.set()
    for thread in threads:
        thread.join()
    idle(engine, SLOTS)
    assert engine.load().callers == 0
    until = time.monotonic() + 10
    while engine._jobs:  # one may just be on its way to be forgotten
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_stage_of_more_rows_than_a_request_named_counts_while_it_waits(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    real_step = engine._interactive.slots.step

    def step() -> Any:
        if engine.load().active_rows > 1:
            begun.set()
            assert go_on.wait(30)
        return real_step()

    monkeypatch.setattr(engine._interactive.slots, "step", step)
    stages = Stages((1,), (2,) * 9, (1,))
    stages.rows = 1
    answered = engine.submit(stages)
    assert begun.wait(30)
    assert sum(engine.load()[:2]) == 9
    go_on.set()
    answered.result(30)
    idle(engine, SLOTS)
