"""A queue that serves its callers fairly, and short work before long work.

Every caller has a virtual token counter (Sheng et al. 2024, "Fairness in Serving Large Language
Models", section 4): the tokens it was served, over its weight. A caller that comes with an empty
queue is lifted to the lowest of those who wait, so that nobody saves up. Next is the part of
somebody's work that ends first in that virtual time, its caller's counter plus what is left of it
(weighted fair queueing, Demers et al. 1989): equal work as it came and one after another, so that
each is done early, and small work before large.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from textvae.engine.caller import Caller

DIGITS = 6
"""Of virtual times: what is served leaves the end of a part where it was, but for rounding."""

Item = TypeVar("Item")


class _Part(Generic[Item]):
    """A part of a caller's work, which is served in one go."""

    def __init__(self, items: Iterable[tuple[float, Item]]) -> None:
        """`items`: each with the tokens that it is expected to take."""
        self.items = deque(items)
        self.left = sum(cost for cost, _ in self.items)


class _Queue(Generic[Item]):
    """The work of one caller: parts, each with its virtual finish time among them."""

    def __init__(self) -> None:
        self.parts: list[tuple[float, int, _Part[Item]]] = []
        self.tokens = 0.0
        """Those served since the queue was last empty: its virtual time."""
        self.owed = 0.0
        """Tokens beyond those expected, which count from the end of the part that is served."""


class FairQueue(Generic[Item]):
    """Items of callers."""

    def __init__(self, cost: Callable[[Item], float]) -> None:
        """`cost`: the tokens that an item is expected to take."""
        self._cost = cost
        self._queues: dict[Caller, _Queue[Item]] = {}
        self._served: dict[Caller, float] = {}
        # (virtual finish time, number of the part, caller) of first parts, some out of date.
        self._order: list[tuple[float, int, Caller]] = []
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, caller: Caller, items: Iterable[Item]) -> None:
        """Let the items of one part of a caller's work wait; they keep their order."""
        part = _Part((self._cost(item), item) for item in items)
        if not part.items:
            return
        if caller not in self._queues:
            if not self._queues:
                self._served.clear()
                self._order.clear()
            lowest = min((self._served[other] for other in self._queues), default=0.0)
            self._served[caller] = max(self._served.get(caller, 0.0), lowest)
            self._queues[caller] = _Queue()
        queue = self._queues[caller]
        heapq.heappush(queue.parts, (queue.tokens + part.left, next(self._numbers), part))
        self._push(caller)

    def peek(self) -> Item:
        """Return the item that is next; there must be one."""
        while True:
            ends, number, caller = self._order[0]
            if caller in self._queues and (ends, number) == self._ends(caller):
                return self._queues[caller].parts[0][2].items[0][1]
            heapq.heappop(self._order)

    def take(self) -> Item:
        """Remove and return the item that is next, and charge its caller; there must be one."""
        self.peek()
        _, _, caller = self._order[0]
        queue = self._queues[caller]
        part = queue.parts[0][2]
        cost, item = part.items.popleft()
        part.left -= cost
        queue.tokens += cost
        self._served[caller] += cost / caller.weight
        if part.items:
            self._push(caller)
            return item
        heapq.heappop(queue.parts)
        self._served[caller] += queue.owed / caller.weight
        queue.owed = 0.0
        if queue.parts:
            self._push(caller)
        else:
            del self._queues[caller]
        return item

    def charge(self, caller: Caller, tokens: float) -> None:
        """Charge a caller for more tokens than was expected, or for fewer."""
        if caller in self._queues:
            self._queues[caller].owed += tokens
        elif caller in self._served:
            self._served[caller] += tokens / caller.weight

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

    def _ends(self, caller: Caller) -> tuple[float, int]:
        """Return when the first part of a caller ends in virtual time, and the part's number."""
        _, number, part = self._queues[caller].parts[0]
        return round(self._served[caller] + part.left / caller.weight, DIGITS), number

    def _push(self, caller: Caller) -> None:
        heapq.heappush(self._order, (*self._ends(caller), caller))
