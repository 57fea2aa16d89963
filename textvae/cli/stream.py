"""A command over many items: asked for in blocks, answered in order, each block as it comes.

A rejected item does not affect the others. While the server is away, busy or slow, calls are
retried: they are idempotent, and an answer is determined by seed and order.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from textvae.cli.interrupts import Interrupts
from textvae.cli.items import Item, Source, numbered
from textvae.cli.lines import item_of, problem_of
from textvae.cli.verbs import Part, Verb
from textvae.cli.writers import Answered, Writer
from textvae.client import Client
from textvae.client.failures import status_of
from textvae.client.messages import CHUNK_TOKENS, GENERATED_TOKENS, token_counts
from textvae.errors import BusyError, InputError, TextVaeError, UnavailableError

BLOCK_ITEMS_MAX = 256
TOKENS_MAX = 128
WAIT_S = 60.0
"""Seconds that a server may be away in the middle of a run, where --wait-s says nothing."""
PAUSE_S = 0.5
"""Seconds between two calls while it is away."""
SMALLER = 8
"""A block that is not answered in time is asked for in so many parts."""
FAULTS_MAX = 10
"""Items in a row at which the server fails before the run ends."""


class _SlowError(Exception):
    """A block of several items was not answered in time."""


class Patience:
    """How long to wait for a server that is away, busy or slow."""

    def __init__(self, wait_s: float | None) -> None:
        """`wait_s` is that of the flag; None waits WAIT_S, but not for a server that never was."""
        self._limit_s, self._is_default = (WAIT_S, True) if wait_s is None else (wait_s, False)
        self._failing_since: float | None = None
        self._has_answer = False

    def is_worth_waiting(self, error: TextVaeError, *, is_large: bool = False) -> bool:
        """Return whether the same call, or one for fewer items, may be answered later."""
        is_away = isinstance(error, UnavailableError | BusyError)
        if not is_away and status_of(error) not in ("CANCELLED", "ABORTED"):
            return False
        # Nobody waits for an address that was mistyped.
        is_there = self._has_answer or isinstance(error, BusyError) or is_large
        if self._is_default and not is_there:
            return False
        since = self._failing_since
        return time.monotonic() - since < self._limit_s if since else self._limit_s > 0

    def wait(self, error: TextVaeError, place: str = "") -> None:
        """Wait a little; say so the first time."""
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            where = f" at {place}" if place else ""
            sys.stderr.write(f"textvae: {error}; waiting{where}, {self._limit_s:g} s at most\n")
        time.sleep(PAUSE_S)

    def answered(self) -> None:
        """Forget what failed before."""
        self._failing_since, self._has_answer = None, True


class Stream:
    """The run of one command over its items."""

    def __init__(
        self,
        client: Client,
        verb: Verb,
        flags: argparse.Namespace,
        writer: Writer,
        interrupts: Interrupts,
        on_done: Callable[[int], None],
    ) -> None:
        """`on_done` is called with the items that are done after each block."""
        self._client, self._verb, self._flags = client, verb, flags
        self._writer, self._interrupts, self._on_done = writer, interrupts, on_done
        self._items_max, self._item_cost = BLOCK_ITEMS_MAX, verb.cost(flags)
        self._patience = Patience(flags.wait_s)
        self._faults = 0
        self.done = self.failed = self.last = 0

    def run(self, source: Source, *, is_strict: bool = False, is_ordered: bool = False) -> None:
        """Ask for all items. Where strict, the error of an item ends the run."""
        for piece in source.pieces if is_ordered else numbered(source):
            for block in self._blocks(piece):
                self._answer(block, source, is_strict)
                if self._writer.is_closed():
                    return  # as in `textvae score < lines | head`

    def _blocks(self, items: Sequence[Item]) -> Iterator[list[Item]]:
        """Yield blocks of adjacent items that cost the server a second or so each."""
        block, cost, order = list[Item](), 0, -1
        for item in items:
            needed = self._item_cost * _tokens(item)
            is_full = len(block) >= self._items_max or cost + needed > CHUNK_TOKENS
            is_next = item.problem or order in (-1, item.order - 1)
            if block and (is_full or not is_next):
                yield block
                block, cost = [], 0
            block.append(item)
            if not item.problem:
                cost, order = cost + needed, item.order
        if block:
            yield block

    def _answer(self, block: Sequence[Item], source: Source, is_strict: bool) -> None:
        """Ask for a block and write its answers, in order and at once."""
        found: dict[int, Answered] = {
            item.number: Answered(item, problem=item.problem) for item in block if item.problem
        }
        waiting = [[item for item in block if not item.problem]]
        while waiting:
            items = waiting.pop()
            if not items:
                continue
            try:
                part = self._ask(items, source)
            except _SlowError:
                self._items_max = size = max(1, len(items) // SMALLER)
                starts = range(0, len(items), size)
                waiting += [items[start : start + size] for start in reversed(starts)]
            except TextVaeError as error:
                number = self._refused(error, items)
                if number is None or is_strict:
                    self._flags.lines = [item.number for item in items]
                    raise
                if number < len(items):
                    one = items[number]
                    found[one.number] = Answered(one, problem=_words(error, source, one))
                    waiting += [items[number + 1 :], items[:number]]
                else:
                    waiting += [items[len(items) // 2 :], items[: len(items) // 2]]
            else:
                for place, item in enumerate(items):
                    found[item.number] = Answered(item, part, place)
        self._write([found[item.number] for item in block], source)

    def _write(self, answers: Sequence[Answered], source: Source) -> None:
        """Write the answers of a block; a signal waits until they are."""
        with self._interrupts.held():
            for answer in answers:
                if answer.problem:
                    place = source.place(answer.item.number)
                    sys.stderr.write(f"textvae: {place}: {answer.problem}\n")
            self._writer.write(answers)
            self.done, self.last = self.done + len(answers), answers[-1].item.number
            self.failed += sum(bool(answer.problem) for answer in answers)
        self._on_done(self.done)

    def _refused(self, error: TextVaeError, items: Sequence[Item]) -> int | None:
        """Return which of the items an error is about; None where it is about none of them.

        The number of items where it is about one of them and does not say which.
        """
        number = item_of(error)
        if number is not None and number < len(items):
            return number
        if status_of(error) != "INTERNAL" or self._faults >= FAULTS_MAX:
            return None
        self._faults += len(items) == 1
        return 0 if len(items) == 1 else len(items)

    def _ask(self, items: Sequence[Item], source: Source) -> Part:
        """Return the answer for items, once there is one. Raise the error that waiting is no use
        for, and that of a server that is away for too long."""
        while True:
            try:
                part = self._verb.ask(self._client, items, self._flags)
            except TextVaeError as error:
                is_large = status_of(error) == "DEADLINE_EXCEEDED" and len(items) > 1
                if not self._patience.is_worth_waiting(error, is_large=is_large):
                    raise
                self._patience.wait(error, source.place(items[0].number))
                if is_large:
                    raise _SlowError from error
            else:
                self._patience.answered()
                self._faults = 0
                return part


def _tokens(item: Item) -> int:
    """Return about how many tokens an item has."""
    if isinstance(item.value, str):
        return token_counts([item.value], TOKENS_MAX)[0]
    return GENERATED_TOKENS


def _words(error: TextVaeError, source: Source, item: Item) -> str:
    """Return what is wrong with an item."""
    if isinstance(error, InputError):
        return problem_of(error, source.place(item.number))
    return str(error)
