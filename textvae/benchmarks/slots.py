"""The benchmark of slots: a real server against whole-request batching, and against no server.

Servers have one thread of arithmetic; the load comes from this process, on the other core.
"""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from textvae import files
from textvae.benchmarks.arms import Result, describe_machine
from textvae.benchmarks.serving import (
    CALLERS,
    MEAN_TOKENS,
    MODEL,
    ROWS,
    SAMPLING,
    START_S,
    publish_random_version,
)
from textvae.client import AsyncClient
from textvae.decode.rows import Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine.batch_invariance import check_batch_invariance
from textvae.engine.load import load_version
from textvae.options import Options
from textvae.release.smoke_test import run_server
from textvae.store.versions import Version
from textvae.text.tokenizer import EOS, Tokenizer


class LoadResult(NamedTuple):
    """The answers of a round of calls."""

    tokens: int
    duration_s: float
    latencies_s: list[float]
    """Of each answered call, from the moment it was due."""

    @property
    def tokens_per_s(self) -> float:
        """The throughput of the server."""
        return self.tokens / self.duration_s


def bench_slots(quick: bool) -> Result:
    """Call a server with slots and one with whole-request batching for eight sentences at a time,
    and decode the same rows in a loop without a server; then measure the slowest calls of both
    servers at the load that saturates whole-request batching."""
    load_before, seconds, rounds = os.getloadavg()[0], 1.0 if quick else 8.0, 1 if quick else 5
    torch.set_num_threads(1)
    with files.scratch_folder() as registry, contextlib.ExitStack() as stack:
        version = publish_random_version(registry, quick)
        modules = ("textvae.serve", "textvae.benchmarks.whole_requests")
        arguments = (registry, MODEL, START_S, "--threads", "1")
        addresses = [
            stack.enter_context(run_server(*arguments, module=module)) for module in modules
        ]
        loop = in_process_loop(registry, version)
        speeds = []
        for _ in range(rounds):
            servers = [asyncio.run(saturate(address, seconds)) for address in addresses]
            speeds.append((loop(seconds), *(server.tokens_per_s for server in servers)))
        alone, slots, whole = (median(column) for column in zip(*speeds, strict=True))
        calls_per_s = whole / (ROWS * MEAN_TOKENS)
        slowest = []
        for _ in range(rounds):
            servers = [asyncio.run(call_at_rate(at, calls_per_s, 3 * seconds)) for at in addresses]
            slowest.append([float(np.percentile(server.latencies_s, 99)) for server in servers])
    figures = {
        "in_process_tokens_per_s": alone,
        "slots_tokens_per_s": slots,
        "whole_requests_tokens_per_s": whole,
        "share_of_in_process": median(row[1] / row[0] for row in speeds),
        "ratio_to_whole_requests": median(row[1] / row[2] for row in speeds),
        "calls_per_s_arriving": calls_per_s,
        "slots_p99_s": median(row[0] for row in slowest),
        "whole_requests_p99_s": median(row[1] for row in slowest),
        "p99_share_of_whole_requests": median(row[0] / row[1] for row in slowest),
        "rounds": float(rounds),
    }
    targets = {"share_of_in_process": 0.65, "ratio_to_whole_requests": 1.5}
    held = all(figures[name] >= target for name, target in targets.items())
    return Result("slots", describe_machine(), load_before, figures, targets, held)


def in_process_loop(registry: Path, version: Version) -> Callable[[float], float]:
    """Return a function that keeps the engine's own slots full for so many seconds and returns the
    tokens a second."""
    loaded = check_batch_invariance(load_version(registry, version)).loaded
    special = SpecialIds(EOS, Tokenizer.forbidden)
    numbers = itertools.count()

    def row() -> Row:
        number = next(numbers)
        latent = np.random.default_rng(number).standard_normal(loaded.latent, np.float32)
        return Row("loop", 0, latent, SAMPLING.tokens_max, Options(SAMPLING.temperature), number)

    def run(seconds: float) -> float:
        slots = Slots(loaded.decoder, special, loaded.buckets, loaded.library)
        tokens, start_s = 0, time.perf_counter()
        with torch.inference_mode():
            while time.perf_counter() < start_s + seconds:
                slots.admit([row() for _ in range(slots.capacity - slots.running)])
                tokens += sum(len(done.tokens) for done in slots.step())
        return tokens / (time.perf_counter() - start_s)

    return run


async def saturate(address: str, seconds: float) -> LoadResult:
    """Run as many callers as keep all slots full, each calling again once it is answered."""
    numbers = itertools.count()
    result = LoadResult(0, seconds, [])
    async with AsyncClient(address, 600.0) as client:
        end_s = time.perf_counter() + seconds

        async def caller() -> int:
            tokens = 0
            while True:
                done = await client.sample(ROWS, options=SAMPLING, seed=next(numbers))
                if time.perf_counter() > end_s:
                    return tokens
                tokens += done.facts.tokens

        return result._replace(
            tokens=sum(await asyncio.gather(*(caller() for _ in range(CALLERS))))
        )


async def call_at_rate(address: str, calls_per_s: float, seconds: float) -> LoadResult:
    """Call at random moments, so many a second in the mean, whether the server keeps up or not."""
    random = np.random.default_rng(0)
    due_s = np.cumsum(random.exponential(1 / calls_per_s, int(calls_per_s * seconds) + 1))
    async with AsyncClient(address, 600.0) as client:
        start_s = time.perf_counter()

        async def call(number: int) -> tuple[float, int]:
            await asyncio.sleep(start_s + due_s[number] - time.perf_counter())
            done = await client.sample(ROWS, options=SAMPLING, seed=number)
            return time.perf_counter() - start_s - due_s[number], done.facts.tokens

        answers = await asyncio.gather(*(call(number) for number in range(len(due_s))))
        duration_s = time.perf_counter() - start_s
    latencies_s = [latency_s for latency_s, _ in answers]
    return LoadResult(sum(tokens for _, tokens in answers), duration_s, latencies_s)
