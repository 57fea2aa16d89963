"""`python -m tests.drills.soak`: mixed calls without pause, half of them given up, for 15 minutes:
a server's memory, descriptors and threads stay what they were."""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import toys
from tests.drills.line import Flag, Found, run_drill
from tests.serving import Server, serving
from textvae.client import AsyncClient
from textvae.corpus.toy_grammar import sample
from textvae.errors import BusyError, UnavailableError
from textvae.options import Options

log = logging.getLogger(__name__)

SECONDS = {True: 8.0, False: 900.0}
WARM_UP = {True: 4.0, False: 60.0}
STEPS = {True: 30, False: 1200}
CALLERS = 24
GIVES_UP = 0.5
"""Share of the calls that their callers cancel, after up to GIVES_UP_S."""
GIVES_UP_S = 0.1
MIB_A_100_000_MAX = 1.0
SLACK_MIB = {True: 48.0, False: 8.0}
"""What the memory of an allocator may vary by, whatever the number of requests."""
SENTENCES = [row.text for row in sample(200, seed=1)]


class State:
    """What a server's process holds."""

    def __init__(self, server: Server) -> None:
        folder = Path(f"/proc/{server.process.pid}")
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text("utf-8").splitlines()
        )
        self.mib = int(status["VmRSS"].split()[0]) / 1024
        self.threads = int(status["Threads"])
        self.descriptors = len(list((folder / "fd").iterdir()))


async def call(client: AsyncClient, number: int) -> None:
    """Call number `number`, of any method."""
    chance = random.Random(number)
    some = chance.sample(SENTENCES, chance.randint(1, 8))
    options = Options(temperature=chance.choice((0.0, 1.0)), tokens_max=30)
    match chance.randrange(6):
        case 0:
            await client.encode(some, samples=chance.randint(0, 2), seed=number)
        case 1:
            await client.sample(chance.randint(1, 40), options=options, seed=number)
        case 2:
            await client.interpolate(some[:1] * 2, 5, options=options, seed=number)
        case 3:
            await client.paraphrase(some, 2, candidates=3, options=options, seed=number)
        case 4:
            await client.score(some, importance_samples=3, seed=number)
        case 5:
            await client.info()


async def load_server(address: str, seconds: float, numbers: Any) -> int:
    """Call for so long; return how many calls there were."""
    ends_s, first = time.monotonic() + seconds, next(numbers)

    async def caller(client: AsyncClient, chance: random.Random) -> None:
        while time.monotonic() < ends_s:
            gives_up_s = chance.uniform(0, GIVES_UP_S) if chance.random() < GIVES_UP else None
            with contextlib.suppress(TimeoutError, BusyError, UnavailableError):
                await asyncio.wait_for(call(client, next(numbers)), gives_up_s)

    async with AsyncClient(address, 60.0) as client:
        await asyncio.gather(*(caller(client, random.Random(one)) for one in range(CALLERS)))
    return int(next(numbers)) - first


def drill(quick: bool, seconds: float = 0.0) -> Found:
    """Warm a server up, look at it, load it, and look again."""
    recipe = toys.recipe()
    short = dataclasses.replace(recipe.training, steps=STEPS[quick], collapse_stops=False)
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        registry = Path(folder) / "registry"
        version = toys.published(registry, Path(folder) / "run", recipe._replace(training=short))
        toys.promoted(registry, version)
        with serving(registry, "--threads", "1") as server:
            asyncio.run(load_server(server.address, WARM_UP[quick], numbers))
            time.sleep(1.0)
            before = State(server)
            calls = asyncio.run(load_server(server.address, seconds or SECONDS[quick], numbers))
            time.sleep(1.0)
            after = State(server)
            log.info("%d calls, %.1f MiB before, %.1f after", calls, before.mib, after.mib)
            exit_code = server.stop()
    grown_mib = after.mib - before.mib
    figures = {
        "calls": float(calls),
        "grown_mib": grown_mib,
        "grown_mib_a_100000_calls": grown_mib / calls * 100_000,
        "more_threads": float(after.threads - before.threads),
        "more_descriptors": float(after.descriptors - before.descriptors),
        "exit_code": float(exit_code),
    }
    most_mib = SLACK_MIB[quick] + MIB_A_100_000_MAX * calls / 100_000
    targets = {"grown_mib": most_mib, "more_threads": 0.0, "more_descriptors": 0.0, "exit_code": 0}
    return Found(figures, targets, all(figures[name] <= targets[name] for name in targets))


if __name__ == "__main__":
    run_drill("soak", drill, Flag("seconds", 0.0, "of the load; 0 for 900, quick 8"))
