"""A request, and the state of one on its way through the engine."""

import time
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from textvae.decode.rows import FinishedRow, Row
from textvae.engine.answers import Reply
from textvae.engine.limits import Limits
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Outcome, Planning

Answer = TypeVar("Answer")


class Request(Protocol[Answer]):
    """What the engine needs of a request; each file of `engine/operations/` has one such class."""

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""

    @property
    def first_index(self) -> int:
        """Number of the first item among all items of the caller."""

    @property
    def rows(self) -> int:
        """Cost of the request: rows of its largest stage, as far as they are known before its
        planning, or latents that Encode returns."""

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits; `plan` checks the width of latents."""

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[Answer]:
        """Do the work of a checked request, step by step; `owner` marks its rows."""


class Job:
    """A request on its way through the engine."""

    def __init__(self, request: Request[Any], cost: int) -> None:
        self.request = request
        self.cost = cost
        self.future: Future[Reply] = Future()
        self.submitted_ns = time.perf_counter_ns()
        self.started_ns = 0
        self.planning: Planning[Any] | None = None
        self.has_bucket = False
        """Whether its planning has stopped before a bucket of sentences."""
        self.rows: list[Row] = []
        """Those that its planning waits for."""
        self._finished: dict[int, FinishedRow] = {}
        self._tokens = 0
        self._batch_rows = 0

    @property
    def cancelled(self) -> bool:
        """Whether the caller cancelled the future."""
        return self.future.cancelled()

    def store(self, finished: FinishedRow) -> list[FinishedRow]:
        """Store a finished row -> all that the planning waits for, in order, once none is left."""
        self._tokens += len(finished.tokens)
        self._batch_rows = max(self._batch_rows, finished.batch_rows)
        self._finished[finished.row.number] = finished
        if len(self._finished) < len(self.rows):
            return []
        return [self._finished.pop(number) for number in range(len(self.rows))]

    def reply(self, outcome: Outcome[Any]) -> Reply:
        """Return the outcome with the facts of all its rows, and the times until now."""
        return Reply(
            outcome.answer,
            self.request.seed,
            (self.started_ns - self.submitted_ns) // 1000,
            (time.perf_counter_ns() - self.started_ns) // 1000,
            outcome.tokens_read + self._tokens,
            self._batch_rows,
        )
