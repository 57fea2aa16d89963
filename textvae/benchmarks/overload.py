"""A server under more than it can do: what of its work is still useful, and what the rest is told.

Calls of 64 rows with a deadline arrive at random at a multiple of the capacity, which is measured
by callers that wait for their answers. Goodput is the rows of calls that were answered in time.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from textvae import files
from textvae.benchmarks.arms import Result, describe_machine
from textvae.benchmarks.callers import (
    Answered,
    Call,
    children_mib,
    closed_loop,
    connected,
    open_loop,
    percentile_s,
    sample_call,
)
from textvae.benchmarks.serving import MODEL, START_S, publish_random_version
from textvae.client import AsyncClient
from textvae.release.smoke_test import run_server

ROWS, DEADLINE_S = 64, 2.0
CALLERS = 16
CLOSED_CALLERS = 6
LIGHT_LOAD = 0.8
TIMES = (3, 5)
PROBE_S, PROBE_MAX_S = 0.1, 10.0
RECOVERY_S = 2.0


class Overload(NamedTuple):
    """What a load beyond the capacity did."""

    ended: list[Answered]
    probes_s: list[float]
    """Seconds of health probes beside it."""
    grown_mib: float
    after: list[Answered]
    """Calls at a light load, RECOVERY_S after it."""


def bench_overload(quick: bool) -> Result:
    """Measure goodput, refusals, health and memory at 3 and 5 times the capacity."""
    load_before, seconds = os.getloadavg()[0], 3.0 if quick else 60.0
    with files.scratch_folder() as registry:
        publish_random_version(registry, quick)
        with run_server(registry, MODEL, START_S, "--threads", "1") as address:
            figures = asyncio.run(_measure(address, seconds))
    targets: dict[str, float] = {}
    for times in TIMES:
        name = f"at_{times}_times"
        targets |= {
            f"{name}_goodput_share_min": 0.95,
            f"{name}_p99_share_of_light_max": 2.0,
            f"{name}_refusal_p99_ms_max": 20.0,
            f"{name}_refusals_without_time": 0.0,
            f"{name}_failures": 0.0,
            f"{name}_probe_max_s": 1.0,
            f"{name}_grown_mib_max": 32.0,
            f"{name}_after_p99_share_of_light_max": 2.0,
        }
    held = all(
        figures[name] >= target if name.endswith("_min") else figures[name] <= target
        for name, target in targets.items()
    )
    return Result("overload", describe_machine(), load_before, figures, targets, held)


async def _measure(address: str, seconds: float) -> dict[str, float]:
    """Return the figures: the capacity, a light load, and each overload."""
    async with (
        connected(address, CLOSED_CALLERS) as patient,
        connected(address, CALLERS, DEADLINE_S) as clients,
    ):
        waits = [sample_call(client, ROWS) for client in patient]
        calls = [sample_call(client, ROWS) for client in clients]
        await closed_loop(waits, min(seconds / 4, 3.0))  # a warm-up
        peak = sum(one.rows for one in await closed_loop(waits, seconds / 2)) / (seconds / 2)
        capacity = peak / ROWS
        light = await open_loop(calls, LIGHT_LOAD * capacity, seconds, 1)
        light_p99_s = percentile_s([one for one in light if not one.error], 99)
        figures = {
            "peak_rows_per_s": peak,
            "light_p99_s": light_p99_s,
            "light_failures": float(sum(bool(one.error) for one in light)),
        }
        for times in TIMES:
            found = await _overload(address, calls, times * capacity, capacity, seconds)
            figures |= _figures(f"at_{times}_times", found, seconds, peak, light_p99_s)
    return figures


async def _overload(
    address: str, calls: Sequence[Call], per_s: float, capacity: float, seconds: float
) -> Overload:
    """Load the server for so long, with probes beside; then lightly again."""
    before_mib = children_mib()
    probing = asyncio.create_task(_probes_s(address))
    ended = await open_loop(calls, per_s, seconds, 2)
    probing.cancel()
    probes_s = await probing
    grown_mib = children_mib() - before_mib
    await asyncio.sleep(RECOVERY_S)
    after = await open_loop(calls, LIGHT_LOAD * capacity, max(seconds / 4, 2.0), 3)
    return Overload(ended, probes_s, grown_mib, after)


async def _probes_s(address: str) -> list[float]:
    """Probe the health until this task is cancelled; return the seconds of each answer."""
    found: list[float] = []
    async with AsyncClient(address, PROBE_MAX_S) as client:
        while True:
            began_s = time.perf_counter()
            try:
                await client.health()
                found.append(time.perf_counter() - began_s)
                await asyncio.sleep(PROBE_S)
            except asyncio.CancelledError:
                return found


def _figures(
    name: str, found: Overload, seconds: float, peak: float, light_p99_s: float
) -> dict[str, float]:
    """Return what an overload did, under its name."""
    accepted = [one for one in found.ended if not one.error]
    refused = [one for one in found.ended if one.is_refused]
    after = [one for one in found.after if not one.error]
    return {
        f"{name}_goodput_share_min": sum(one.rows for one in accepted) / seconds / peak,
        f"{name}_p99_share_of_light_max": percentile_s(accepted, 99) / light_p99_s,
        f"{name}_refused": float(len(refused)),
        f"{name}_refusal_p99_ms_max": 1000 * percentile_s(refused, 99),
        f"{name}_refusals_without_time": float(sum(not one.says_when for one in refused)),
        f"{name}_failures": float(len(found.ended) - len(accepted) - len(refused)),
        f"{name}_probe_max_s": max(found.probes_s, default=0.0),
        f"{name}_grown_mib_max": found.grown_mib,
        f"{name}_after_p99_share_of_light_max": percentile_s(after, 99) / light_p99_s,
    }
