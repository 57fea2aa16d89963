"""Callers of a real server for benchmarks: each with a connection of its own, without retries."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np

from textvae.v1 import textvae_pb2 as pb
from textvae.v1 import textvae_pb2_grpc
from textvae.wire import PRIORITY_KEY

TOKENS_MAX = 60
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
PUSHBACK_KEY = "grpc-retry-pushback-ms"


class Answered(NamedTuple):
    """How a call ended."""

    seconds: float
    code: grpc.StatusCode
    rows: int
    tokens: int
    says_when: bool
    """Whether a refusal says when to try again."""

    @property
    def is_ok(self) -> bool:
        """Return whether it has its answer."""
        return self.code == grpc.StatusCode.OK


Call = Callable[[int], Awaitable[Answered]]
"""Makes a call of a number, which is its seed."""


@contextlib.asynccontextmanager
async def connected(
    address: str, count: int
) -> AsyncIterator[list[textvae_pb2_grpc.TextVaeServiceStub]]:
    """Yield stubs, each with a connection of its own."""
    channels = [grpc.aio.insecure_channel(address, OWN_CONNECTION) for _ in range(count)]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        yield [textvae_pb2_grpc.TextVaeServiceStub(channel) for channel in channels]
    finally:
        await asyncio.gather(*(channel.close(None) for channel in channels))


def sample_call(
    stub: Any, rows: int, timeout_s: float | None = None, *, bulk: bool = False
) -> Call:
    """Return a call that has so many sentences written."""
    options = pb.Options(temperature=1.0, tokens_max=TOKENS_MAX)
    metadata = ((PRIORITY_KEY, "bulk"),) if bulk else None

    async def call(number: int) -> Answered:
        request = pb.SampleRequest(count=rows, seed=number, options=options)
        return await answered(stub.Sample(request, timeout=timeout_s, metadata=metadata), rows)

    return call


def encode_call(stub: Any, sentences: Sequence[str]) -> Call:
    """Return a call that has sentences read."""

    async def call(number: int) -> Answered:
        return await answered(stub.Encode(pb.EncodeRequest(sentences=sentences)), len(sentences))

    return call


async def answered(call: Any, rows: int) -> Answered:
    """Wait for the end of a call."""
    began = time.perf_counter()
    try:
        tokens, code = (await call).metadata.tokens, grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        seconds = time.perf_counter() - began
        trailers: Any = error.trailing_metadata() or ()
        says_when = any(key == PUSHBACK_KEY for key, _ in trailers)
        return Answered(seconds, error.code(), 0, 0, says_when)
    return Answered(time.perf_counter() - began, code, rows, int(tokens), False)


async def closed_loop(calls: Sequence[Call], seconds: float) -> list[Answered]:
    """Let each caller call again as soon as it has its answer; return what ended in time."""
    end = time.perf_counter() + seconds
    found: list[Answered] = []

    async def caller(number: int, call: Call) -> None:
        while True:
            done = await call(number)
            if time.perf_counter() > end:
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
    began, tasks = time.perf_counter(), []
    for number, at_s in enumerate(np.cumsum(gaps_s).tolist()):
        await asyncio.sleep(max(began + at_s - time.perf_counter(), 0))
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
