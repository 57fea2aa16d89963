"""The engine: requests from any thread, one thread that computes, futures of the replies."""

import itertools
import logging
import math
import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar, cast

import numpy as np
import torch

from textvae.config.serve import ServeConfig
from textvae.decode.rows import FinishedRow
from textvae.engine.admission import BULK_SHARE, Admission
from textvae.engine.answers import Reply
from textvae.engine.caller import NOBODY, Caller
from textvae.engine.deadlines import Deadlines
from textvae.engine.figures import Figures
from textvae.engine.job import Job, owner_of
from textvae.engine.lane import Lane
from textvae.engine.limits import Load, limits_of, threads_of
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Outcome, Planning, Stage, advance
from textvae.engine.prices import Prices
from textvae.engine.reading import Reading
from textvae.engine.request import Request
from textvae.errors import BusyError, ExpiredError, InputError
from textvae.store.versions import Version

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

STANDSTILL_S = 60.0
"""Seconds without a step, beside work, after which the engine counts as dead."""


class Engine:
    """The engine of one version; every method may be called from any thread."""

    def __init__(
        self,
        version: Version,
        loaded: LoadedVersion,
        arithmetic: str,
        config: ServeConfig,
        prices: Prices | None = None,
    ) -> None:
        """Start the engine's thread, which alone uses `loaded` from here on; see `engine/start.py`.

        `arithmetic` describes how it computes, for GetServerInfo; `prices` are what its work costs,
        as far as that was measured before.
        """
        self.version = version
        self.latent = loaded.latent
        self.vocab = loaded.tokenizer.vocab
        self.fitted_prior = loaded.prior
        self.arithmetic = arithmetic
        self.limits = limits_of(config)
        self._loaded = loaded
        self._prices = prices or Prices()
        self._admission = Admission(
            self._prices, self.limits.rows_max, config.queue_share, loaded.buckets[-1]
        )
        self._interactive = Lane(loaded, self._prices)
        self._bulk = Lane(loaded, self._prices)
        self._threads = threads_of(config)
        self._condition = threading.Condition()
        # Guarded by the condition; everything below it belongs to the engine's thread.
        self._arrived: deque[Job] = deque()
        self._closing = False
        self._jobs: set[Job] = set()
        self._deadlines = Deadlines()
        self._turns = itertools.count()
        self._beat_s = math.inf
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(
        self, request: Request[Any], caller: Caller = NOBODY, deadline_s: float | None = None
    ) -> Future[Reply]:
        """Return the future of the reply.

        Raise InputError for a request outside the limits, BusyError where too many rows wait, the
        engine closes, or the answer would come too late for `deadline_s`, on the monotonic clock.
        Cancelling the future frees the request's rows at the next step.
        """
        request.check(self.limits)
        job = Job(request.work, request.seed, caller, deadline_s)
        job.planning = request.plan(self._loaded, self.limits, job)
        job.future.add_done_callback(
            lambda future: self._release(job) if future.cancelled() else None
        )
        with self._condition:
            if self._closing:
                raise BusyError("engine: is closing; call again")
            self._admission.take(job)
            self._arrived.append(job)
            self._condition.notify()
        return job.future

    def answer(self, request: Request[Answer]) -> Answer:
        """Submit a request and wait for its result."""
        return cast(Answer, self.submit(request).result().result)

    def load(self) -> Load:
        """Return how busy it is."""
        active = self._interactive.slots.running + self._bulk.slots.running
        return self._admission.load(active, self._interactive.slots.capacity)

    def figures(self) -> Figures:
        """Return what it did and has to do; the engine does not wait for that."""
        lanes = (self._interactive, self._bulk)
        spread = max(lane.spread for lane in lanes)
        tallies = tuple(lane.tallies for lane in lanes)
        return Figures(self.load(), self._admission.oldest_s, spread, tallies)

    @property
    def is_alive(self) -> bool:
        """Return whether the engine's thread still takes requests and makes its steps."""
        return self._thread.is_alive() and time.monotonic() - self._beat_s < STANDSTILL_S

    def close(self, timeout_s: float | None = None) -> bool:
        """Refuse new requests, finish the others; return whether all ended within `timeout_s`."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        """Finish all requests, then end the thread."""
        self.close()

    def _run(self) -> None:
        """Plan requests, read, write and answer until the engine closes: its own thread."""
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while self._take():
                self._beat_s = time.monotonic()
                for job in self._deadlines.overdue(self._beat_s):
                    if not job.is_void:
                        self._fail(job, ExpiredError("the call's time was over before its answer"))
                self._interactive.drop_void()
                self._bulk.drop_void()
                self._work(self._next_lane())

    def _work(self, lane: Lane) -> None:
        """Plan for a while, read one bucket, and write one token of every running row.

        Running rows wait for one bucket at most, whoever's sentences it has. A bug of ours must
        fail its calls, not the engine.
        """
        began_s = time.perf_counter()
        lane.take_turns(self._advance)
        read, written = 0, 0
        try:
            read = self._read(lane)
        except Exception as error:
            log.exception("engine: a bucket failed; its requests fail, the engine goes on")
            lane.clear_sentences()
            self._fail_all(lane, Reading, error)
        if read:
            self._prices.learn_read(time.perf_counter() - began_s, read)
            began_s = time.perf_counter()
        try:
            written = self._write(lane)
        except Exception as error:
            log.exception("engine: a step failed; its requests fail, the engine goes on")
            lane.clear_rows()
            self._fail_all(lane, list, error)
        if written:
            self._prices.learn_write(time.perf_counter() - began_s, written)

    def _take(self) -> bool:
        """Take all new requests, waiting for one if there is no work; return False at the end."""
        with self._condition:
            while not (self._arrived or self._interactive.has_work or self._bulk.has_work):
                if self._closing:
                    return False
                self._beat_s = math.inf  # without work it may stand still for ever
                self._condition.wait()
                self._beat_s = time.monotonic()
            arrived = list(self._arrived)
            self._arrived.clear()
        for job in arrived:
            job.started_ns = time.perf_counter_ns()
            self._jobs.add(job)
            if job.is_void:  # cancelled before it was there to be forgotten
                self._jobs.discard(job)
                continue
            self._deadlines.add(job)
            self._lane(job).turns.append(job)
        return True

    def _next_lane(self) -> Lane:
        """Return whose work is next: bulk where nobody waits for other work, or now and then."""
        if not self._bulk.has_work:
            return self._interactive
        is_due = next(self._turns) % round(1 / BULK_SHARE) == 0
        return self._bulk if is_due or not self._interactive.has_work else self._interactive

    def _lane(self, job: Job) -> Lane:
        return self._bulk if job.caller.is_bulk else self._interactive

    def _read(self, lane: Lane) -> int:
        """Read one bucket of sentences; advance the requests that have all of theirs.

        Return the tokens of a bucket that was at least half full, which teaches what they cost.
        """
        sentences, tokens = 0, 0
        for sentence, result in lane.read():
            sentences, tokens = sentences + 1, tokens + len(sentence.ids) + 1
            results = sentence.owner.store_result(sentence.number, result)
            if results is not None and not sentence.owner.is_void:
                self._advance(sentence.owner, results)
        return tokens if 2 * sentences >= lane.slots.capacity else 0

    def _write(self, lane: Lane) -> int:
        """Write one token of every running row; advance the requests that have all of theirs.

        Return the tokens of a step of at least half of the slots, which teaches what they cost.
        """
        lane.admit()
        running = lane.slots.running
        for finished in lane.step():
            self._collect(finished)
        return running if 2 * running >= lane.slots.capacity else 0

    def _advance(self, job: Job, found: list[FinishedRow] | np.ndarray | None = None) -> None:
        """Advance a request's planning to its next stage, or to its answer.

        `found`: what it waited for; None where it waited for its turn.
        """
        try:
            stage = advance(cast(Planning[Any], job.planning), found, self._loaded.blank)
        except StopIteration as end:
            self._answer(job, end.value)
        except InputError as error:
            self._fail(job, error)
        except Exception as error:
            log.exception("engine: the planning of a request failed")
            self._fail(job, error)
        else:
            self._begin(job, stage)

    def _begin(self, job: Job, stage: Stage) -> None:
        """Let a stage wait for its turn; rows cost what they are at least."""
        job.stage = stage
        if stage is None:
            self._lane(job).turns.append(job)
            return
        if isinstance(stage, list):
            self._admission.grow(job, max(sum(row.slots for row in stage) - job.cost, 0))
        self._lane(job).wait(job, stage)

    def _collect(self, finished: FinishedRow) -> None:
        """Store a finished row; advance its request when it is the last that it waits for."""
        job = owner_of(finished.row)
        row_s = self._prices.row_s(job.work.kind)
        self._admission.row_ended(job, finished.row.slots, row_s)
        rows = job.store_row(finished)
        if rows is not None and not job.is_void:
            self._advance(job, rows)

    def _answer(self, job: Job, outcome: Outcome[Any]) -> None:
        """Set the result of the request's future."""
        reply = job.reply(outcome)
        self._prices.learn_request(job.work, job.seconds, job.longest)
        self._release(job)
        if job.future.set_running_or_notify_cancel():
            job.future.set_result(reply)

    def _fail(self, job: Job, error: Exception) -> None:
        """Set the error of the request's future, once."""
        self._release(job)
        try:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
        except InvalidStateError:
            log.debug("engine: a request failed twice")

    def _release(self, job: Job) -> None:
        """Forget a request; its cost no longer counts."""
        job.is_over = True
        self._jobs.discard(job)
        self._admission.release(job)

    def _fail_all(self, lane: Lane, stage: type, error: Exception) -> None:
        """Fail all requests of a lane that wait for such a stage."""
        for job in list(self._jobs):
            if self._lane(job) is lane and isinstance(job.stage, stage):
                self._fail(job, error)
