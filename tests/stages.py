"""Requests whose work a test defines: their rows, their buckets, and what happens in between."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from tests.toys import MODEL
from textvae.decode.rows import FinishedRow, Row
from textvae.engine.answers import Reply
from textvae.engine.engine import Engine
from textvae.engine.limits import Limits
from textvae.engine.load import LoadedVersion, load_version
from textvae.engine.plan import Outcome, Planning
from textvae.engine.prices import Work
from textvae.engine.reading import Reading
from textvae.options import GREEDY, Options
from textvae.store.promotions import champion
from textvae.store.versions import Version
from textvae.text.tokenizer import EOS


class Steps:
    """A request that runs rows of so many tokens each; its answer is the finished rows."""

    def __init__(self, *tokens: int, options: Options = GREEDY, read: int = 0) -> None:
        self.tokens, self.options, self.read = tokens, options, read
        self.seed, self.first_index, self.rows = 7, 0, len(tokens)

    @property
    def work(self) -> Work:
        """As many rows as it says."""
        return Work("steps", 0, self.rows, self.rows)

    def check(self, limits: Limits) -> None:
        """Take every request."""

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[Any]:
        """Decode rows of the latent 0, each cut after its number of tokens."""
        finished = yield rows_of(owner, loaded.latent, self.tokens, self.options)
        return Outcome(self.finish(finished), self.read)

    def finish(self, finished: list[FinishedRow]) -> Any:
        """Return the rows."""
        return finished


class Gate(Steps):
    """A request whose planning waits for `open`, so that the engine does nothing else."""

    future: Future[Reply]

    def __init__(self, rows: int = 1, act: Callable[[], Any] = lambda: None) -> None:
        super().__init__()
        self.rows, self.act = rows, act
        self.reached, self.open = threading.Event(), threading.Event()

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[Any]:
        """Wait and act; decode no rows."""
        yield from ()
        self.reached.set()
        assert self.open.wait(60)
        return Outcome(self.act(), 0)


class Stages(Steps):
    """A request of several stages, each rows of so many tokens, or None for a bucket.

    Its answer is the finished rows of each stage; `act` is called with a stage's number before it,
    and with the number of all of them at the end.
    """

    def __init__(
        self,
        *stages: tuple[int, ...] | None,
        act: Callable[[int], None] = lambda _: None,
        read: int = 0,
    ) -> None:
        super().__init__(*(count for stage in stages for count in stage or ()), read=read)
        self.stages, self.act = stages, act

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[Any]:
        """Go through the stages."""
        finished: list[list[FinishedRow]] = []
        for number, tokens in enumerate(self.stages):
            self.act(number)
            if tokens is None:
                yield Reading("encoder", [[EOS + 1]])
            else:
                finished.append((yield rows_of(owner, loaded.latent, tokens, self.options)))
        self.act(len(self.stages))
        return Outcome(finished, self.read)


def loaded_for(registry: Path, slots: int) -> tuple[Version, LoadedVersion]:
    """The toy version and its parts, in batches of so many rows and without the self-test."""
    found = champion(registry, MODEL)
    return found, load_version(registry, found)._replace(buckets=(slots,))


def rows_of(owner: object, latent: int, tokens: tuple[int, ...], options: Options) -> list[Row]:
    """Rows of the latent 0, each cut after its number of tokens."""
    zeros = np.zeros(latent, np.float32)
    return [Row(owner, number, zeros, count, options) for number, count in enumerate(tokens)]


def idle(engine: Engine, slots: int) -> None:
    """Wait until the engine has no work."""
    until = time.monotonic() + 30
    while engine.load()[:3] != (0, 0, slots):
        assert time.monotonic() < until, f"still {engine.load()}"
        time.sleep(0.001)


def closed_gate(engine: Engine, rows: int = 1, act: Callable[[], Any] = lambda: None) -> Gate:
    """A gate that the engine has reached; `engine.submit` queues behind it."""
    gate = Gate(rows, act)
    gate.future = engine.submit(gate)
    assert gate.reached.wait(60)
    return gate
