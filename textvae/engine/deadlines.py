"""When requests are wanted, the earliest first."""

import heapq
import itertools
from collections.abc import Iterator

from textvae.engine.job import Job


class Deadlines:
    """The times of all requests that have one."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()

    def add(self, job: Job) -> None:
        """Add a request, if it has a time."""
        if job.deadline_s is not None:
            heapq.heappush(self._heap, (job.deadline_s, next(self._numbers), job))

    def overdue(self, now_s: float) -> Iterator[Job]:
        """Remove and yield the requests whose time is over."""
        while self._heap and self._heap[0][0] <= now_s:
            yield heapq.heappop(self._heap)[2]
