"""Callers who share a server: small calls beside one another, beside greedy ones, beside bulk."""

import asyncio
import os
import statistics
from collections.abc import Sequence

from textvae import files
from textvae.benchmarks.arms import Result, describe_machine
from textvae.benchmarks.callers import (
    Answered,
    Call,
    closed_loop,
    connected,
    encode_call,
    percentile_s,
    sample_call,
)
from textvae.benchmarks.serving import MODEL, START_S, publish_random_version, random_texts
from textvae.client import AsyncClient
from textvae.release.smoke_test import run_server

CALLERS, GREEDY = 64, 16
ROWS = 64
"""Of a call of each of the equal callers; the greedy one has all theirs in its calls."""
PAUSE_S = 0.2
"""Between two calls of a person."""
TARGETS = {
    "encodes_apart_share_min": 0.6,
    "encodes_beside_samples_share_min": 0.3,
    "light_p99_greedy_share_max": 1.5,
    "interactive_p99_beside_bulk_share_max": 1.5,
    "bulk_share_min": 0.9,
}


def bench_fairness(quick: bool) -> Result:
    """Measure what callers get of one server, each against what they would get otherwise."""
    load_before = os.getloadavg()[0]
    seconds, rounds = (1.0, 1) if quick else (10.0, 5)
    with files.scratch_folder() as registry:
        publish_random_version(registry, quick)
        with run_server(registry, MODEL, START_S, "--threads", "1") as address:
            found = [asyncio.run(_round(address, seconds)) for _ in range(rounds)]
    figures = {name: statistics.median(one[name] for one in found) for name in found[0]}
    figures["rounds"] = float(rounds)
    held = all(
        figures[name] >= target if name.endswith("_min") else figures[name] <= target
        for name, target in TARGETS.items()
    )
    return Result("fairness", describe_machine(), load_before, figures, TARGETS, held)


async def _round(address: str, seconds: float) -> dict[str, float]:
    """Return all figures once; the arms of each ratio follow one another."""
    texts = random_texts(CALLERS)
    async with (
        connected(address, CALLERS + GREEDY + 1) as clients,
        connected(address, 1, priority="bulk") as bulk,
    ):
        figures = await _encodes(clients, texts, seconds)
        figures |= await _greedy(clients, seconds)
        return figures | await _bulk(clients[0], bulk[0], seconds)


async def _encodes(
    clients: Sequence[AsyncClient], texts: list[str], seconds: float
) -> dict[str, float]:
    """Encode sentences in one call, in a call each, and in a call each beside two long samples."""
    apart = [encode_call(client, [text]) for client, text in zip(clients, texts, strict=False)]
    together = await closed_loop([encode_call(clients[0], texts)], seconds)
    each = await closed_loop(apart, seconds)
    samples = [sample_call(client, 1024) for client in clients[CALLERS : CALLERS + 2]]
    beside = await _beside(apart, samples, seconds)
    speeds = [sum(one.rows for one in part) / seconds for part in (together, each, beside)]
    return {
        "encodes_together_per_s": speeds[0],
        "encodes_apart_per_s": speeds[1],
        "encodes_beside_samples_per_s": speeds[2],
        "encodes_apart_share_min": speeds[1] / speeds[0],
        "encodes_beside_samples_share_min": speeds[2] / speeds[0],
    }


async def _greedy(clients: Sequence[AsyncClient], seconds: float) -> dict[str, float]:
    """A light caller beside many equal ones, and beside one that asks for all their rows."""
    light = sample_call(clients[0], 1)
    equal = [sample_call(client, ROWS) for client in clients[1 : GREEDY + 1]]
    beside_equal = await _beside([light], equal, seconds)
    beside_greedy = await _beside([light], [sample_call(clients[1], GREEDY * ROWS)] * 2, seconds)
    equal_s, greedy_s = percentile_s(beside_equal, 99), percentile_s(beside_greedy, 99)
    return {
        "light_p99_beside_equal_ms": 1000 * equal_s,
        "light_p99_beside_greedy_ms": 1000 * greedy_s,
        "light_p99_greedy_share_max": greedy_s / equal_s,
    }


async def _bulk(person: AsyncClient, job: AsyncClient, seconds: float) -> dict[str, float]:
    """An interactive caller alone and beside bulk work, and that work alone and beside it."""
    light, bulk = sample_call(person, 1), sample_call(job, 256)
    alone = await closed_loop([_paced(light)], seconds)
    bulk_alone = await closed_loop([bulk] * 2, seconds)
    beside, bulk_beside = await asyncio.gather(
        closed_loop([_paced(light)], seconds), closed_loop([bulk] * 2, seconds)
    )
    alone_s, beside_s = percentile_s(alone, 99), percentile_s(beside, 99)
    tokens = [sum(one.tokens for one in part) for part in (bulk_alone, bulk_beside)]
    step_s = ROWS * seconds / tokens[0]
    return {
        "interactive_p99_idle_ms": 1000 * alone_s,
        "interactive_p99_beside_bulk_ms": 1000 * beside_s,
        "step_ms": 1000 * step_s,
        "interactive_p99_beside_bulk_share_max": (beside_s - step_s) / alone_s,
        "bulk_tokens_per_s": tokens[0] / seconds,
        "bulk_share_min": tokens[1] / tokens[0],
    }


def _paced(call: Call) -> Call:
    """Return a call that is made PAUSE_S after the one before: a person's."""

    async def paced(number: int) -> Answered:
        await asyncio.sleep(PAUSE_S)
        return await call(number)

    return paced


async def _beside(calls: Sequence[Call], others: Sequence[Call], seconds: float) -> list[Answered]:
    """Return what calls get in a closed loop while others load the server too."""
    loading = asyncio.gather(closed_loop(others, seconds), return_exceptions=True)
    await asyncio.sleep(min(seconds / 4, 1.0))
    found = await closed_loop(calls, seconds)
    await loading
    return found
