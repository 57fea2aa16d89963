"""The engine: requests from any thread, one thread that computes, futures of the replies."""

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from typing import Any, NamedTuple, TypeVar, cast

import torch

from textvae.config.serve import ServeConfig
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine.answers import Reply
from textvae.engine.job import Job, Request
from textvae.engine.limits import limits_of
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Outcome, Planning
from textvae.errors import BusyError, InputError
from textvae.store.versions import Version
from textvae.text.tokenizer import EOS, Tokenizer
from textvae.threads import available_threads

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Load(NamedTuple):
    """How busy the engine is."""

    active_rows: int
    waiting_rows: int
    slots: int


class Engine:
    """The engine of one version; every method may be called from any thread."""

    def __init__(
        self, version: Version, loaded: LoadedVersion, arithmetic: str, config: ServeConfig
    ) -> None:
        """Start the engine's thread, which alone uses `loaded` from here on; see `engine/start.py`.

        `arithmetic` describes how it computes, for GetServerInfo.
        """
        self.version = version
        self.latent = loaded.latent
        self.vocab = loaded.tokenizer.vocab
        self.fitted_prior = loaded.prior
        self.arithmetic = arithmetic
        self.limits = limits_of(config)
        self._loaded = loaded
        special = SpecialIds(EOS, Tokenizer.forbidden)
        self._slots = Slots(loaded.decoder, special, loaded.buckets, loaded.library)
        self._threads = threads_of(config)
        self._condition = threading.Condition()
        # Guarded by the condition; everything below it belongs to the engine's thread.
        self._arrived: deque[Job] = deque()
        self._cost = 0
        self._closing = False
        self._planning: deque[Job] = deque()
        self._waiting: deque[Row] = deque()
        self._decoding: set[Job] = set()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request[Any]) -> Future[Reply]:
        """Return the future of the reply.

        Raise InputError for a request outside the limits, BusyError where too many rows wait or the
        engine closes. Cancelling the future frees the request's rows at the next step.
        """
        request.check(self.limits)
        job = Job(request, request.rows)
        job.future.add_done_callback(
            lambda future: self._release(job) if future.cancelled() else None
        )
        with self._condition:
            if self._closing:
                raise BusyError("engine: is closing; call again")
            if self._cost + job.cost > self.limits.rows_max and self._cost:
                waiting = f"{self._cost} rows of at most {self.limits.rows_max} are waiting"
                raise BusyError(
                    f"engine: {waiting} and {job.cost} more were asked; call later or ask for fewer"
                )
            self._cost += job.cost
            self._arrived.append(job)
            self._condition.notify()
        return job.future

    def answer(self, request: Request[Answer]) -> Answer:
        """Submit a request and wait for its result."""
        return cast(Answer, self.submit(request).result().result)

    def load(self) -> Load:
        """Return how many rows run and wait."""
        active = self._slots.running
        return Load(active, max(self._cost - active, 0), self._slots.capacity)

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
        """Plan requests, admit rows, step and answer until the engine closes: its own thread."""
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while self._take():
                try:
                    self._slots.drop(_is_cancelled)
                    self._plan_requests()
                    self._admit()
                    for finished in self._slots.step():
                        self._collect(finished)
                except Exception as error:  # a bug of ours must fail its calls, not the engine
                    log.exception("engine: a step failed; its requests fail, the engine goes on")
                    self._fail_running(error)

    def _take(self) -> bool:
        """Take all new requests, waiting for one if there is no work; return False at the end."""
        with self._condition:
            while not (self._arrived or self._planning or self._waiting or self._slots.running):
                if self._closing:
                    return False
                self._condition.wait()
            arrived = list(self._arrived)
            self._arrived.clear()
        for job in arrived:
            job.started_ns = time.perf_counter_ns()
            job.planning = job.request.plan(self._loaded, self.limits, job)
        self._planning.extend(arrived)
        return True

    def _plan_requests(self) -> None:
        """Advance requests to their rows, with one bucket of sentences between two steps.

        Running rows thus wait for one bucket at most, and requests of several buckets take turns.
        """
        buckets_left, unserved, served = 1, list[Job](), list[Job]()
        for job in self._planning:
            if job.cancelled:
                self._release(job)
                continue
            before = buckets_left
            if not job.has_bucket:
                self._advance(job)
            while job.has_bucket and buckets_left:
                buckets_left -= 1
                self._advance(job)
            if job.has_bucket:
                (served if buckets_left < before else unserved).append(job)
        self._planning = deque(unserved + served)

    def _advance(self, job: Job, finished: list[FinishedRow] | None = None) -> None:
        """Advance a request's planning to its next bucket or rows, or to its answer.

        `finished`: the rows it waited for; None where it waited for none.
        """
        planning = cast(Planning[Any], job.planning)
        job.has_bucket = False
        try:
            rows = next(planning) if finished is None else planning.send(finished)
            while rows is not None and not rows:
                rows = planning.send([])
            numbers = [row.number for row in rows or ()]
            assert numbers == list(range(len(numbers))), f"rows are numbered from 0, not {numbers}"
        except StopIteration as end:
            self._answer(job, end.value)
        except InputError as error:
            self._fail(job, error)
        except Exception as error:
            log.exception("engine: the planning of a request failed")
            self._fail(job, error)
        else:
            job.has_bucket, job.rows = rows is None, rows or []
            self._wait_for_rows(job)

    def _wait_for_rows(self, job: Job) -> None:
        """Let a request's rows, if it has any, wait for slots; they cost what they are at least."""
        if job.rows:
            self._decoding.add(job)
            self._waiting.extend(job.rows)
            with self._condition:
                more = max(sum(row.slots for row in job.rows) - job.cost, 0)
                self._cost += more
                job.cost += more
        if job.cancelled:  # a release before the rows were added has not forgotten them
            self._release(job)

    def _admit(self) -> None:
        """Let waiting rows join the batch, oldest first, without the rows of cancelled requests."""
        free = self._slots.capacity - self._slots.running
        rows: list[Row] = []
        while self._waiting and self._waiting[0].slots <= free:
            row = self._waiting.popleft()
            if not _is_cancelled(row.owner):
                rows.append(row)
                free -= row.slots
        self._slots.admit(rows)

    def _collect(self, finished: FinishedRow) -> None:
        """Store a finished row; advance its request when it is the last that it waits for."""
        job = cast(Job, finished.row.owner)
        rows = job.store(finished)
        if rows and not job.cancelled:
            self._decoding.discard(job)
            self._advance(job, rows)
            if job.has_bucket:
                self._planning.append(job)

    def _answer(self, job: Job, outcome: Outcome[Any]) -> None:
        """Set the result of the request's future."""
        reply = job.reply(outcome)
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
        self._decoding.discard(job)
        with self._condition:
            self._cost -= job.cost
            job.cost = 0

    def _fail_running(self, error: Exception) -> None:
        """Fail all requests with rows; empty the slots and the queue."""
        self._slots.clear()
        self._waiting.clear()
        for job in list(self._decoding):
            self._fail(job, error)


def _is_cancelled(owner: object) -> bool:
    """Return whether the request of a row was cancelled."""
    return cast(Job, owner).cancelled


def threads_of(config: ServeConfig) -> int:
    """Return the number of threads of the engine's arithmetic."""
    return config.threads or available_threads()
