"""A request, and the state of one on its way through the engine."""

import time
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from textvae.decode.rows import FinishedRow, Row
from textvae.engine.answers import Reply
from textvae.engine.caller import NOBODY, Caller
from textvae.engine.plan import Outcome, Planning, Stage
from textvae.engine.prices import Work
from textvae.engine.reading import Reading


class Sentence(NamedTuple):
    """A sentence of a request's reading."""

    owner: "Job"
    number: int
    """Its place in the reading."""
    ids: list[int]


class Job:
    """A request on its way through the engine."""

    def __init__(
        self, work: Work, seed: int = 0, caller: Caller = NOBODY, deadline_s: float | None = None
    ) -> None:
        """`deadline_s`: on the monotonic clock; None for a request that is wanted at any time."""
        self.work = work
        self.seed = seed
        self.caller = caller
        self.deadline_s = deadline_s
        self.future: Future[Reply] = Future()
        self.submitted_ns = time.perf_counter_ns()
        self.started_ns = 0
        self.planning: Planning[Any] | None = None
        self.is_over = False
        """Whether it has been answered, failed or cancelled, and whatever it has left is void."""
        # Of the admission's accounts, which alone change them.
        self.is_held = False
        self.cost = 0
        self.price_s = 0.0
        self.seconds = 0.0
        """Of the engine, that it has taken."""
        self.stage: Stage = None
        """What its planning waits for; None where that is its turn."""
        self._results: np.ndarray | None = None
        self._missing = 0
        self._rows: dict[int, FinishedRow] = {}
        self._tokens = 0
        self.longest = 0
        """Tokens of its longest row until now."""
        self._batch_rows = 0

    @property
    def is_void(self) -> bool:
        """Return whether nobody wants the answer any more."""
        return self.is_over or self.future.cancelled()

    def wait_for(self, stage: Stage, blank: np.ndarray | None = None) -> None:
        """Begin a stage; `blank` is where the results of a reading go."""
        self._results, self._rows = blank, {}
        count = stage.ids if isinstance(stage, Reading) else stage
        self._missing = len(count or ())

    def store_result(self, number: int, result: np.ndarray) -> np.ndarray | None:
        """Store the result of a sentence -> those of all, once none is missing."""
        assert self._results is not None, "it waits for no reading"
        self._results[number] = result
        self._missing -= 1
        return None if self._missing else self._results

    def store_row(self, finished: FinishedRow) -> list[FinishedRow] | None:
        """Store a finished row -> all that the planning waits for, in order, once none is left."""
        self._tokens += len(finished.tokens)
        self.longest = max(self.longest, len(finished.tokens))
        self._batch_rows = max(self._batch_rows, finished.batch_rows)
        self._rows[finished.row.number] = finished
        self._missing -= 1
        if self._missing:
            return None
        return [self._rows[number] for number in range(len(self._rows))]

    def reply(self, outcome: Outcome[Any]) -> Reply:
        """Return the outcome with the facts of all its rows, and the times until now."""
        return Reply(
            outcome.answer,
            self.seed,
            (self.started_ns - self.submitted_ns) // 1000,
            (time.perf_counter_ns() - self.started_ns) // 1000,
            outcome.tokens_read + self._tokens,
            self._batch_rows,
        )


def owner_of(row: Row) -> Job:
    """Return the request that a row is of."""
    owner = row.owner
    assert isinstance(owner, Job), "a row of the engine is of one of its requests"
    return owner
