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
from textvae.benchmarks.serving import CALLERS, DRAWN, MEAN_TOKENS, MODEL, ROWS, START_S, made_up
from textvae.client import AsyncClient
from textvae.decode.rows import Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine.batch_invariance import check_batch_invariance
from textvae.engine.load import load_version
from textvae.options import Options
from textvae.release.smoke_test import run_server
from textvae.store.versions import Version
from textvae.text.tokenizer import BOS, EOS, Tokenizer


class Load(NamedTuple):
    """What callers got in a round."""

    tokens: int
    took_s: float
    seconds: list[float]
    """Of each answered call, from the moment it was due."""

    @property
    def tokens_per_s(self) -> float:
        """What was served."""
        return self.tokens / self.took_s


def bench_slots(quick: bool) -> Result:
    """Calls of eight sentences to a server with slots, to one with whole-request batching, and the
    same rows in a loop without a server; then the slowest calls of both servers, at the load that
    is all that whole-request batching can do."""
    load_before, seconds, rounds = os.getloadavg()[0], 1.0 if quick else 8.0, 1 if quick else 5
    torch.set_num_threads(1)
    with files.scratch_folder() as registry, contextlib.ExitStack() as held:
        version = made_up(registry, quick)
        modules = ("textvae.serve", "textvae.benchmarks.whole_requests")
        where = (registry, MODEL, START_S, "--threads", "1")
        addresses = [held.enter_context(run_server(*where, module=module)) for module in modules]
        loop = in_process(registry, version)
        found = []
        for _ in range(rounds):
            servers = [asyncio.run(saturated(address, seconds)) for address in addresses]
            found.append((loop(seconds), *(server.tokens_per_s for server in servers)))
        alone, slots, whole = (median(column) for column in zip(*found, strict=True))
        calls_per_s = whole / (ROWS * MEAN_TOKENS)
        slowest = []
        for _ in range(rounds):
            servers = [asyncio.run(arriving(at, calls_per_s, 3 * seconds)) for at in addresses]
            slowest.append([float(np.percentile(server.seconds, 99)) for server in servers])
    figures = {
        "in_process_tokens_per_s": alone,
        "slots_tokens_per_s": slots,
        "whole_requests_tokens_per_s": whole,
        "share_of_in_process": median(row[1] / row[0] for row in found),
        "ratio_to_whole_requests": median(row[1] / row[2] for row in found),
        "calls_per_s_arriving": calls_per_s,
        "slots_p99_s": median(row[0] for row in slowest),
        "whole_requests_p99_s": median(row[1] for row in slowest),
        "p99_share_of_whole_requests": median(row[0] / row[1] for row in slowest),
        "rounds": float(rounds),
    }
    targets = {"share_of_in_process": 0.65, "ratio_to_whole_requests": 1.5}
    kept = all(figures[name] >= least for name, least in targets.items())
    return Result("slots", describe_machine(), load_before, figures, targets, kept)


def in_process(registry: Path, version: Version) -> Callable[[float], float]:
    """Tokens a second of the engine's own slots, always full, for so many seconds."""
    loaded = check_batch_invariance(load_version(registry, version)).loaded
    special = SpecialIds(BOS, EOS, Tokenizer.forbidden)
    numbers = itertools.count()

    def row() -> Row:
        number = next(numbers)
        latent = np.random.default_rng(number).standard_normal(loaded.latent, np.float32)
        return Row("loop", 0, latent, DRAWN.tokens_max, Options(DRAWN.temperature), number)

    def run(seconds: float) -> float:
        slots = Slots(loaded.decoder, special, loaded.buckets, loaded.library)
        tokens, start_s = 0, time.perf_counter()
        with torch.inference_mode():
            while time.perf_counter() < start_s + seconds:
                slots.admit([row() for _ in range(slots.capacity - slots.running)])
                tokens += sum(len(done.tokens) for done in slots.step())
        return tokens / (time.perf_counter() - start_s)

    return run


async def saturated(address: str, seconds: float) -> Load:
    """As many callers as keep all slots full, each asking again once it is answered."""
    numbers = itertools.count()
    got = Load(0, seconds, [])
    async with AsyncClient(address, 600.0) as client:
        end_s = time.perf_counter() + seconds

        async def caller() -> int:
            tokens = 0
            while True:
                done = await client.sample(ROWS, options=DRAWN, seed=next(numbers))
                if time.perf_counter() > end_s:
                    return tokens
                tokens += done.facts.tokens

        return got._replace(tokens=sum(await asyncio.gather(*(caller() for _ in range(CALLERS)))))


async def arriving(address: str, calls_per_s: float, seconds: float) -> Load:
    """Calls that come when they come, whether the server keeps up or not."""
    random = np.random.default_rng(0)
    due_s = np.cumsum(random.exponential(1 / calls_per_s, int(calls_per_s * seconds) + 1))
    async with AsyncClient(address, 600.0) as client:
        start_s = time.perf_counter()

        async def call(number: int) -> tuple[float, int]:
            await asyncio.sleep(start_s + due_s[number] - time.perf_counter())
            done = await client.sample(ROWS, options=DRAWN, seed=number)
            return time.perf_counter() - start_s - due_s[number], done.facts.tokens

        found = await asyncio.gather(*(call(number) for number in range(len(due_s))))
        took_s = time.perf_counter() - start_s
    return Load(sum(tokens for _, tokens in found), took_s, [each for each, _ in found])
