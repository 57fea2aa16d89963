"""A request on its way through the engine."""

import time
from concurrent.futures import Future

from textvae.decode.slots import Finished
from textvae.engine.answers import Done
from textvae.engine.plans import Plan, Planning
from textvae.engine.requests import Request


class Job:
    """A request on its way through the engine."""

    def __init__(self, request: Request, cost: int) -> None:
        self.request = request
        self.cost = cost
        self.future: Future[Done] = Future()
        self.submitted_ns = time.perf_counter_ns()
        self.started_ns = 0
        self.planning: Planning | None = None
        self.asks = False
        """Whether its planning stands before a bucket of sentences to encode."""
        self.plan: Plan | None = None
        self.finished: dict[int, Finished] = {}

    @property
    def unwanted(self) -> bool:
        """Whether the caller gave up."""
        return self.future.cancelled()
