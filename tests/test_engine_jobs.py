"""The engine's accounts: rows, costs, times and errors of requests that the tests define."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.stages import Stages, Steps, closed_gate, idle, loaded_for
from textvae.config.serve import ServeConfig
from textvae.decode.rows import FinishedRow
from textvae.engine.answers import Reply
from textvae.engine.engine import Engine
from textvae.engine.limits import threads_of
from textvae.errors import BusyError, InputError
from textvae.options import Options

ROWS_MAX, SLOTS = 10, 8


class Broken(Steps):
    """A request whose answer cannot be assembled."""

    def finish(self, finished: list[FinishedRow]) -> Any:
        raise ZeroDivisionError("a bug")


@pytest.fixture(scope="module")
def version(registry: Path) -> Any:
    """The toy version and its parts, in batches of few rows."""
    return loaded_for(registry, SLOTS)


@pytest.fixture
def engine(version: Any) -> Iterator[Engine]:
    """An engine for ten rows; every test leaves it without work."""
    with Engine(*version, "by hand", ServeConfig(waiting_rows_max=ROWS_MAX, threads=1)) as engine:
        yield engine
        idle(engine, SLOTS)
        assert not engine._jobs
    assert not engine._thread.is_alive()


def test_rows_that_wait_fill_the_engine_exactly(engine: Engine) -> None:
    gate = closed_gate(engine, 4)
    full = engine.submit(Steps(*[1] * 6))
    assert engine.load()[:3] == (0, 10, SLOTS)
    with pytest.raises(
        BusyError, match=r"^engine: 10 rows of at most 10 are waiting and 1 more were asked; call"
    ):
        engine.submit(Steps(1))
    gate.open.set()
    assert len(full.result(60).result) == 6
    idle(engine, SLOTS)
    assert len(engine.answer(Steps(*[1] * 10))) == 10


def test_a_request_that_is_larger_than_the_limit_runs_alone(engine: Engine) -> None:
    gate = closed_gate(engine, 1)
    with pytest.raises(BusyError, match="1 rows of at most 10 are waiting and 20 more"):
        engine.submit(Steps(*[1] * 20))
    gate.open.set()
    idle(engine, SLOTS)
    reply = engine.submit(Steps(*[1] * 20)).result(60)
    assert len(reply.result) == 20
    assert reply.batch_rows == SLOTS


def test_a_cancelled_request_returns_its_cost_once(engine: Engine) -> None:
    gate = closed_gate(engine, 4)
    cancelled = engine.submit(Steps(*[1] * 6))
    assert cancelled.cancel()
    with pytest.raises(CancelledError):
        cancelled.result(0)
    assert engine.load()[:3] == (0, 4, SLOTS)
    gate.open.set()
    idle(engine, SLOTS)
    gate = closed_gate(engine, 10)
    with pytest.raises(BusyError):
        engine.submit(Steps(1))
    gate.open.set()


@pytest.mark.parametrize("error", [InputError("latents", "are wrong"), RuntimeError("a bug")])
def test_an_error_of_planning_fails_its_request_alone_and_returns_its_cost(
    engine: Engine, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a bug is logged."""

    def fail() -> None:
        raise error

    gate = closed_gate(engine, 4, fail)
    other = engine.submit(Steps(2, 1))
    gate.open.set()
    failed = gate.future
    assert failed.exception(60) is error
    assert len(other.result(60).result) == 2
    logged = "the planning of a request failed" in caplog.text
    assert logged == isinstance(error, RuntimeError)


def test_an_error_of_the_answer_fails_its_request_alone_and_returns_its_cost(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    gate = closed_gate(engine)
    broken, other = engine.submit(Broken(1, 1)), engine.submit(Steps(1, 1))
    gate.open.set()
    with pytest.raises(ZeroDivisionError):
        broken.result(60)
    assert len(other.result(60).result) == 2
    assert "the planning of a request failed" in caplog.text


def test_a_request_is_finished_with_its_rows_in_their_order_and_its_tokens_counted(
    engine: Engine,
) -> None:
    """Whichever row ends first; `tokens` are those read and those generated."""
    reply = engine.submit(Steps(4, 1, 3, read=50)).result(60)
    assert [row.row.number for row in reply.result] == [0, 1, 2]
    assert [len(row.tokens) for row in reply.result] == [4, 1, 3]
    assert (reply.tokens, reply.seed, reply.batch_rows) == (58, 7, 3)


def test_batch_rows_are_the_most_that_shared_a_step_whoever_owns_them(engine: Engine) -> None:
    gate = closed_gate(engine)
    one, other = engine.submit(Steps(5, 5)), engine.submit(Steps(2, 2, 2))
    gate.open.set()
    assert one.result(60).batch_rows == other.result(60).batch_rows == 5
    assert gate.future.result(60).batch_rows == 0
    beams = engine.answer(Steps(2, 2, 2, options=Options(beam=4)))
    assert [row.batch_rows for row in beams] == [8, 8, 4]


def test_times_are_microseconds_of_waiting_and_of_work(engine: Engine) -> None:
    began = time.perf_counter()
    gate = closed_gate(engine)
    queued = engine.submit(Steps(1))
    time.sleep(0.1)
    gate.open.set()
    replies = [queued.result(60), gate.future.result(60)]
    passed_us = (time.perf_counter() - began) * 1e6
    waiting, working = replies
    assert 100_000 <= waiting.queue_us <= passed_us
    assert 100_000 <= working.compute_us <= passed_us
    for reply in replies:
        assert min(reply.queue_us, reply.compute_us) >= 0
        assert reply.queue_us + reply.compute_us <= passed_us


def test_rows_of_a_request_that_is_cancelled_while_they_wait_never_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_step, real_admit = engine._interactive.slots.step, engine._interactive.slots.admit
    stepping, go_on = threading.Event(), threading.Event()
    admitted: list[int] = []

    def admit(rows: Any) -> None:
        admitted.append(len(rows))
        real_admit(rows)

    def step() -> Any:
        stepping.set()
        assert go_on.wait(60)
        return real_step()

    monkeypatch.setattr(engine._interactive.slots, "admit", admit)
    monkeypatch.setattr(engine._interactive.slots, "step", step)
    long = engine.submit(Steps(*[9] * 20))
    assert stepping.wait(60)
    assert engine.load()[:3] == (8, 12, SLOTS)
    assert long.cancel()
    go_on.set()
    assert len(engine.answer(Steps(1, 1))) == 2
    assert sum(admitted) == 8 + 2


def test_a_request_that_is_cancelled_during_a_step_is_not_advanced(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its last row ended in that step."""
    reached: list[int] = []
    futures: list[Future[Reply]] = []
    real_step = engine._interactive.slots.step

    def step() -> Any:
        finished = real_step()
        if finished:
            futures[0].cancel()
        return finished

    gate = closed_gate(engine)
    futures.append(engine.submit(Stages((2,), (1,), act=reached.append)))
    monkeypatch.setattr(engine._interactive.slots, "step", step)
    gate.open.set()
    idle(engine, SLOTS)
    assert futures[0].cancelled()
    assert reached == [0]


def test_a_closing_engine_says_whether_its_requests_ended_in_time(version: Any) -> None:
    engine = Engine(*version, "by hand", ServeConfig(threads=1))
    gate = closed_gate(engine)
    queued = engine.submit(Steps(1, 2))
    assert not engine.close(0.01)
    with pytest.raises(BusyError, match=r"^engine: is closing; call again$"):
        engine.submit(Steps(1))
    gate.open.set()
    assert engine.close(60)
    assert len(queued.result(0).result) == 2


def test_an_engine_without_work_closes_at_once(version: Any) -> None:
    engine = Engine(*version, "by hand", ServeConfig(threads=1))
    idle(engine, SLOTS)
    assert engine.close(60)


def test_the_engine_computes_in_its_own_thread_without_gradients(version: Any) -> None:
    def facts() -> Any:
        thread = threading.current_thread().name
        return thread, torch.is_inference_mode_enabled(), torch.get_num_threads()

    before = torch.get_num_threads()
    with Engine(*version, "by hand", ServeConfig(threads=2)) as engine:
        gate = closed_gate(engine, 1, facts)
        gate.open.set()
        assert gate.future.result(60).result == ("engine", True, 2)
    torch.set_num_threads(before)


def test_an_engine_describes_its_version(engine: Engine, version: Any) -> None:
    found, loaded = version
    assert (engine.version, engine.arithmetic) == (found, "by hand")
    assert (engine.latent, engine.vocab) == (16, loaded.tokenizer.vocab)
    assert engine.fitted_prior is loaded.prior
    assert engine.limits.rows_max == ROWS_MAX


def test_an_engine_without_a_number_of_threads_takes_the_processor_s_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or as many as the environment of OpenMP says."""
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads_of(ServeConfig(threads=3)) == 3
    assert threads_of(ServeConfig()) == 5
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_of(ServeConfig()) == os.cpu_count()
