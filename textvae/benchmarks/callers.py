"""Callers of a real server for benchmarks: each with a name of its own, and none comes again."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textvae.client import AsyncClient
from textvae.errors import BusyError, TextVaeError
from textvae.options import Options
from textvae.wire import Priority

OPTIONS = Options(temperature=1.0, tokens_max=60)
NO_LIMIT_S = 600.0


class Answered(NamedTuple):
    """How a call ended."""

    seconds: float
    rows: int = 0
    tokens: int = 0
    error: TextVaeError | None = None

    @property
    def is_refused(self) -> bool:
        """Return whether the server had no time or room for it."""
        return isinstance(self.error, BusyError)

    @property
    def says_when(self) -> bool:
        """Return whether a refusal says when to try again."""
        return isinstance(self.error, BusyError) and self.error.retry_s > 0


Call = Callable[[int], Awaitable[Answered]]
"""Makes a call of a number, which is its seed."""


@contextlib.asynccontextmanager
async def connected(
    address: str, count: int, timeout_s: float = NO_LIMIT_S, priority: Priority = "interactive"
) -> AsyncIterator[list[AsyncClient]]:
    """Yield clients of so many callers, connected."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(count):
            client = AsyncClient(
                address, timeout_s, wait_s=0.0, caller=f"caller-{number}", priority=priority
            )
            clients.append(await stack.enter_async_context(client))
        await asyncio.gather(*(client.info() for client in clients))
        yield clients


def sample_call(client: AsyncClient, rows: int) -> Call:
    """Return a call that has so many sentences written."""

    async def call(number: int) -> Answered:
        return await _timed(client.sample(rows, options=OPTIONS, seed=number), rows)

    return call


def encode_call(client: AsyncClient, sentences: Sequence[str]) -> Call:
    """Return a call that has sentences read."""

    async def call(number: int) -> Answered:
        return await _timed(client.encode(sentences, seed=number), len(sentences))

    return call


async def _timed(call: Awaitable[Any], rows: int) -> Answered:
    """Wait for the end of a call."""
    began_s = time.perf_counter()
    try:
        answer = await call
    except TextVaeError as error:
        return Answered(time.perf_counter() - began_s, error=error)
    return Answered(time.perf_counter() - began_s, rows, answer.facts.tokens)


async def closed_loop(calls: Sequence[Call], seconds: float) -> list[Answered]:
    """Let each caller call again as soon as it has its answer; return what ended in time."""
    end_s = time.perf_counter() + seconds
    found: list[Answered] = []

    async def caller(number: int, call: Call) -> None:
        while True:
            done = await call(number)
            if time.perf_counter() > end_s:
                return
            found.append(done)
            number += len(calls)

    await asyncio.gather(*(caller(number, call) for number, call in enumerate(calls)))
    return found


async def open_loop(
    calls: Sequence[Call], per_s: float, seconds: float, seed: int
) -> list[Answered]:
    """Let calls arrive at random (a Poisson process), whatever became of those before."""
    random = np.random.default_rng(seed)
    gaps_s = random.exponential(1 / per_s, max(round(per_s * seconds), 1))
    began_s, tasks = time.perf_counter(), []
    for number, at_s in enumerate(np.cumsum(gaps_s).tolist()):
        await asyncio.sleep(max(began_s + at_s - time.perf_counter(), 0))
        tasks.append(asyncio.ensure_future(calls[number % len(calls)](number)))
    return list(await asyncio.gather(*tasks))


def percentile_s(ended: Sequence[Answered], percent: float) -> float:
    """Return a percentile of the seconds; 0 of none."""
    return float(np.percentile([one.seconds for one in ended], percent)) if ended else 0.0


def children_mib() -> float:
    """Return the resident memory of the processes that this one has started, in MiB."""
    pages = 0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            pages += int(Path(f"/proc/{child}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
