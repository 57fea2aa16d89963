"""Requests with several stages of rows: what they are sent, and what they do to other requests."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests import toys
from tests.stages import Stages, Steps, closed_gate, idle, loaded_for
from textvae.config.serve import ServeConfig
from textvae.decode.counter import normals
from textvae.decode.rows import Row
from textvae.engine.answers import GeneratedSentence
from textvae.engine.engine import Engine
from textvae.engine.limits import Limits
from textvae.engine.load import LoadedVersion
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.plan import (
    Address,
    Outcome,
    Planning,
    decoder_rows,
    draw_latents,
    generated_sentences,
)
from textvae.engine.start import load_engine
from textvae.errors import InputError
from textvae.options import GREEDY, Options

SLOTS = 8
DRAWING = Options(temperature=0.9, top_k=40)


class TwiceResult(NamedTuple):
    """Sentences, and those that draws of their posteriors are decoded to."""

    first: list[GeneratedSentence]
    mean: bytes
    second: list[GeneratedSentence]


class Twice(Steps):
    """A request that decodes draws of the prior, encodes the sentences and decodes them again."""

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[TwiceResult]:
        """Have `tokens[0]` rows, then two for each."""
        address = Address(self.seed, 0)
        items = np.arange(self.tokens[0], dtype=np.uint64)
        latents = normals(5, items, np.zeros_like(items), loaded.latent).astype(np.float32)
        first = yield decoder_rows(owner, latents, address, DRAWING, limits)
        assert [row.row.number for row in first] == list(range(self.tokens[0]))
        ids = [row.tokens for row in first]
        mean, logvar = yield from loaded.encoding(ids)
        draws = draw_latents(mean, logvar, 2, address, loaded.library)
        second = yield decoder_rows(owner, draws, address, DRAWING, limits, 2)
        assert [row.row.number for row in second] == list(range(2 * self.tokens[0]))
        texts = [generated_sentences(loaded.tokenizer, rows, DRAWING) for rows in (first, second)]
        return Outcome(TwiceResult(texts[0], mean.tobytes(), texts[1]), 0)


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
        assert not engine._jobs
        assert not engine._interactive.rows


def failing_at(stage: int, error: Exception) -> Callable[[int], None]:
    """What raises the error before this stage."""

    def act(number: int) -> None:
        if number == stage:
            raise error

    return act


def test_two_stages_have_the_same_bytes_alone_and_beside_other_requests(registry: Path) -> None:
    with load_engine(registry, toys.MODEL, None, ServeConfig(waiting_rows_max=4096)) as engine:
        alone = engine.submit(Twice(6)).result(60)
        crowd = SampleRequest(64, options=Options(temperature=1.2), seed=99)
        before = [engine.submit(crowd) for _ in range(2)]
        shared = engine.submit(Twice(6))
        after = [engine.submit(crowd) for _ in range(2)]
        for future in [*before, *after]:
            future.result(60)
        done = shared.result(60)
    assert done.batch_rows > 32, "the request ran alone; the test shows nothing"
    assert (done.result, done.tokens) == (alone.result, alone.tokens)
    assert len(alone.result.first) == 6
    assert len(alone.result.second) == 12
    sentences = (*alone.result.first, *alone.result.second)
    assert alone.tokens == sum(one.tokens for one in sentences)


def test_each_stage_is_sent_its_rows_in_order_and_all_are_counted(engine: Engine) -> None:
    reply = engine.submit(Stages((4, 1, 3), None, (1, 2), read=50)).result(60)
    numbers = [[row.row.number for row in stage] for stage in reply.result]
    assert numbers == [[0, 1, 2], [0, 1]]
    assert [[len(row.tokens) for row in stage] for stage in reply.result] == [[4, 1, 3], [1, 2]]
    assert (reply.tokens, reply.batch_rows) == (50 + 8 + 3, 3)
    assert engine.submit(Stages((1,), (1, 1))).result(60).batch_rows == 2


def test_a_stage_without_rows_is_sent_none_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    real_step = engine._interactive.slots.step

    def step() -> Any:
        steps.append(engine._interactive.slots.running)
        return real_step()

    monkeypatch.setattr(engine._interactive.slots, "step", step)
    reply = engine.submit(Stages((), (2,), (), (), (1,), ())).result(60)
    lengths = [[len(row.tokens) for row in stage] for stage in reply.result]
    assert lengths == [[], [2], [], [], [1], []]
    assert [running for running in steps if running] == [1, 1, 1]
    assert engine.submit(Stages()).result(60).result == []
    assert engine.submit(Stages(())).result(60).tokens == 0


def test_a_request_that_is_cancelled_in_its_second_stage_frees_its_rows(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that run leave, those that wait never run, and its cost no longer counts."""
    second, stepping, go_on = threading.Event(), threading.Event(), threading.Event()
    running: list[int] = []
    reached: list[int] = []
    real_step = engine._interactive.slots.step

    def act(number: int) -> None:
        reached.append(number)
        if number == 1:
            second.set()

    def step() -> Any:
        if second.is_set():
            running.append(engine._interactive.slots.running)
            stepping.set()
            assert go_on.wait(60)
        return real_step()

    monkeypatch.setattr(engine._interactive.slots, "step", step)
    long = engine.submit(Stages((1, 1), (9,) * 20, act=act))
    assert stepping.wait(60)
    assert engine.load()[:3] == (SLOTS, 20 - SLOTS, SLOTS)
    assert long.cancel()
    assert engine.load()[:3] == (SLOTS, 0, SLOTS)
    go_on.set()
    assert len(engine.answer(Steps(2, 2))) == 2
    assert running[0] == SLOTS
    assert max(running[1:]) == 2
    assert reached == [0, 1]
    assert long.cancelled()


def test_a_request_that_is_cancelled_before_a_later_bucket_is_abandoned(engine: Engine) -> None:
    futures: list[Any] = []
    reached: list[int] = []

    def act(number: int) -> None:
        reached.append(number)
        if number == 1:
            futures[0].cancel()

    gate = closed_gate(engine)
    futures.append(engine.submit(Stages((1,), None, (3,), act=act)))
    gate.open.set()
    assert len(engine.answer(Steps(1, 1))) == 2
    idle(engine, SLOTS)
    assert futures[0].cancelled()
    assert reached == [0, 1]


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("error", [InputError("count", "is wrong"), ZeroDivisionError("a bug")])
def test_an_error_after_a_stage_fails_its_request_alone(
    engine: Engine, stage: int, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    gate = closed_gate(engine)
    broken = engine.submit(Stages((1, 2), None, (2, 1), act=failing_at(stage, error)))
    others = [engine.submit(Stages((4, 4), (3,))), engine.submit(Steps(5))]
    gate.open.set()
    assert broken.exception(60) is error
    assert [len(future.result(60).result) for future in others] == [2, 1]
    logged = "the planning of a request failed" in caplog.text
    assert logged == isinstance(error, ZeroDivisionError)


def test_rows_without_numbers_of_their_own_fail_their_request_alone(engine: Engine) -> None:
    class Numberless(Steps):
        """A request of two rows with one number."""

        def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[Any]:
            row = Row(owner, 0, np.zeros(loaded.latent, np.float32), 1, GREEDY)
            finished = yield [row, row]
            return Outcome(finished, 0)

    gate = closed_gate(engine)
    broken, other = engine.submit(Numberless(1, 1)), engine.submit(Steps(1, 1))
    gate.open.set()
    assert "rows are numbered from 0, not [0, 0]" in str(broken.exception(60))
    assert len(other.result(60).result) == 2


def test_a_step_that_fails_fails_the_requests_that_have_rows_in_any_stage(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is between two stages goes on."""
    second = threading.Event()
    real_step = engine._interactive.slots.step

    def step() -> Any:
        if second.is_set():
            monkeypatch.setattr(engine._interactive.slots, "step", real_step)
            raise RuntimeError("a bug")
        return real_step()

    def act(number: int) -> None:
        if number == 1:
            second.set()

    monkeypatch.setattr(engine._interactive.slots, "step", step)
    gate = closed_gate(engine)
    failing = engine.submit(Stages((2,), (3,), act=act))
    buckets = engine.submit(Stages((1,), *[None] * 9, (2,)))
    gate.open.set()
    assert str(failing.exception(60)) == "a bug"
    assert [len(stage) for stage in buckets.result(60).result] == [1, 1]


def test_rows_wait_for_one_bucket_of_the_later_stages_at_most(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which two requests between their stages share."""
    events: list[str] = []
    real_step = engine._interactive.slots.step

    def step() -> Any:
        events.append("step")
        return real_step()

    def request(name: str) -> Stages:
        def act(number: int) -> None:
            if number > 1:  # a bucket was granted
                events.append(name)

        return Stages((1,), *[None] * 4, act=act)

    monkeypatch.setattr(engine._interactive.slots, "step", step)
    gate = closed_gate(engine)
    requests = [request("one"), request("other"), Steps(40)]
    futures = [engine.submit(each) for each in requests]
    gate.open.set()
    replies = [future.result(60) for future in futures]
    buckets = [event for event in events if event != "step"]
    assert buckets == ["one", "other"] * 4
    long = len(replies[2].result[0].tokens)
    assert long > len(buckets), "the rows ended before the buckets; the test shows nothing"
    for name in ("one", "other"):
        own = [event for event in events if event in (name, "step")]
        assert all("step" in pair for pair in itertools.pairwise(own)), events


def test_a_cancel_while_rows_are_handed_over_leaves_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's thread may forget the request before the engine's has noted its rows."""
    futures: list[Any] = []

    def act(number: int) -> None:
        if number == 1:
            futures[0].cancel()

    gate = closed_gate(engine)
    futures.append(engine.submit(Stages((1,), (5, 5), act=act)))
    gate.open.set()
    with pytest.raises(CancelledError):
        futures[0].result(60)
    assert len(engine.answer(Steps(1))) == 1
    idle(engine, SLOTS)
    assert not engine._jobs
