"""A queue that serves its callers fairly, and short work of a caller before its long work.

Between callers virtual token counters decide (Sheng et al. 2024, "Fairness in Serving Large
Language Models", section 4): next is the caller whose counter, the tokens it was served over its
weight, is lowest. A caller that comes with an empty queue is lifted to the lowest of those who
wait, so that nobody saves up. Of one caller the work is next that would end first if all shared its
turns (virtual finish times, Demers et al. 1989): equal work as it came, small work before large.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from textvae.engine.caller import Caller

Item = TypeVar("Item")


class _Queue(Generic[Item]):
    """The work of one caller: parts, each with its virtual finish time."""

    def __init__(self) -> None:
        self.parts: list[tuple[float, int, deque[Item]]] = []
        self.tokens = 0.0
        """Those served since the queue was last empty: its virtual time."""


class FairQueue(Generic[Item]):
    """Items of callers."""

    def __init__(self, cost: Callable[[Item], float]) -> None:
        """`cost`: the tokens that an item is expected to take."""
        self._cost = cost
        self._queues: dict[Caller, _Queue[Item]] = {}
        self._served: dict[Caller, float] = {}
        # (counter, number, caller): one that is not the caller's counter now is out of date.
        self._order: list[tuple[float, int, Caller]] = []
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, caller: Caller, items: Iterable[Item]) -> None:
        """Let the items of one part of a caller's work wait; they keep their order."""
        part = deque(items)
        if not part:
            return
        if caller not in self._queues:
            if not self._queues:
                self._served.clear()
                self._order.clear()
            lowest = min((self._served[other] for other in self._queues), default=0.0)
            self._served[caller] = max(self._served.get(caller, 0.0), lowest)
            self._queues[caller] = _Queue()
            self._push(caller)
        queue = self._queues[caller]
        ends = queue.tokens + sum(map(self._cost, part))
        heapq.heappush(queue.parts, (ends, next(self._numbers), part))

    def peek(self) -> Item:
        """Return the item that is next; there must be one."""
        while True:
            served, _, caller = self._order[0]
            if caller in self._queues and served == self._served[caller]:
                return self._queues[caller].parts[0][2][0]
            heapq.heappop(self._order)

    def take(self) -> Item:
        """Remove and return the item that is next, and charge its caller; there must be one."""
        item = self.peek()
        _, _, caller = heapq.heappop(self._order)
        queue, cost = self._queues[caller], self._cost(item)
        part = queue.parts[0][2]
        part.popleft()
        if not part:
            heapq.heappop(queue.parts)
        queue.tokens += cost
        self._served[caller] += cost / caller.weight
        if queue.parts:
            self._push(caller)
        else:
            del self._queues[caller]
        return item

    def charge(self, caller: Caller, tokens: float) -> None:
        """Charge a caller for more tokens than was expected, or for fewer."""
        if caller in self._served:
            self._served[caller] += tokens / caller.weight
            if caller in self._queues:
                self._push(caller)

    def clear(self) -> None:
        """Forget all."""
        self._queues.clear()
        self._served.clear()
        self._order.clear()

    @property
    def spread(self) -> float:
        """Return how far the callers who wait are apart, in tokens; 0 is fair.

        Any thread may ask: one who is served meanwhile is counted, or is not.
        """
        served = self._served.copy()
        counters = [served[caller] for caller in list(self._queues) if caller in served]
        return max(counters) - min(counters) if counters else 0.0

    def _push(self, caller: Caller) -> None:
        heapq.heappush(self._order, (self._served[caller], next(self._numbers), caller))
