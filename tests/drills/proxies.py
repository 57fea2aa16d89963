"""Nightly run, demo, terminal and client under proxies: the outcome is that without any.

Each environment names a proxy by one variable, or by all of them, dead or alive, and excepts
another host by one spelling of no_proxy or by none. A living proxy refuses, and records what
reaches it: that must be nothing, since all servers are on loopback, but for the control, which
calls another host.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.drills.line import Found, run_drill
from tests.job_runs import CONFIG as TOY
from tests.job_runs import NIGHTLY_CONFIG, ROOT, prepared
from tests.proxy import ALL, DEAD, EXCEPTIONS, VARIABLES, proxy
from textvae.release.smoke_test import run_server

log = logging.getLogger(__name__)

ELSEWHERE = "192.0.2.1:50061"
"""An address that nobody has (RFC 5737)."""
START_S = 120.0
EXCEPTED = "example.org"
CONFIG = NIGHTLY_CONFIG.replace("ask_server = false", "ask_server = true")
# As it stands, but for what `demo` would ignore and refuses therefore.
DEMO = TOY.replace('[store]\nmodel = "toy"\n', "")
JOBS = {"nightly": "toy.toml", "demo": "demo.toml"}
CLIENT = """
import asyncio, sys
from textvae.client import AsyncClient, Client

async def ask(address):
    async with AsyncClient(address) as client:
        return (await client.sample(2, seed=7)).sentences

host, _, port = sys.argv[1].rpartition(":")
for address in (sys.argv[1], f"localhost:{port}", f"dns:///localhost:{port}"):
    with Client(address) as client:
        print(client.health(), client.sample(2, seed=7).sentences)
    print(asyncio.run(ask(address)))
"""
Environment = Mapping[str, str]
Outcome = tuple[object, ...]


def environments(address: str, quick: bool) -> Iterator[dict[str, str]]:
    """Each variable with each spelling of no_proxy; quick: with one of them in turn."""
    for number, variable in enumerate((*VARIABLES, "ALL_PROXY")):
        spellings = ("", *EXCEPTIONS)
        for spelling in (spellings[number % 4],) if quick else spellings:
            yield {variable: address} | ({spelling: EXCEPTED} if spelling else {})


def outcome_of_job(job: str, variables: Environment) -> Outcome:
    """What a job ends with, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as made:
        return outcome_in(_folder(made), job, variables)


def outcome_in(folder: Path, job: str, variables: Environment) -> Outcome:
    """Exit code and outcome of a job, and the weights that it published."""
    done = _run(folder, variables, f"jobs.{job}", "--config", JOBS[job])
    assert done.stdout, done.stderr[-2000:]
    line = json.loads(done.stdout)
    return done.returncode, line["outcome"], line.get("version", "").partition("-")[2]


def outcome_of_calls(address: str, variables: Environment) -> Outcome:
    """What the commands and the clients of a process print, and their exit codes."""
    to = ("--address", address)
    health = _run(ROOT, variables, "textvae.cli", "health", *to)
    words = ("sample", "--count", "3", "--seed", "7", "--json")
    sample = _run(ROOT, variables, "textvae.cli", *words, *to)
    clients = _python(ROOT, variables, "-c", CLIENT, address)
    done = (health, sample, clients)
    return tuple((one.returncode, one.stdout) for one in done)


def _folder(made: str) -> Path:
    """A folder with text and the settings of both jobs."""
    folder = prepared(Path(made, "jobs"), CONFIG)
    (folder / "demo.toml").write_text(DEMO)
    return folder


def _run(
    folder: Path, variables: Environment, module: str, *words: str
) -> subprocess.CompletedProcess[str]:
    return _python(folder, variables, "-m", module, *words)


def _python(folder: Path, variables: Environment, *words: str) -> subprocess.CompletedProcess[str]:
    """A process of Python, under these variables and no other proxy's."""
    kept = {name: value for name, value in os.environ.items() if name not in ALL}
    kept |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=kept | variables,
        capture_output=True,
        text=True,
    )


def drill(quick: bool) -> Found:
    """Every command under every environment; quick: jobs under all variables at once.

    The demo under a dead proxy is left to the long form.
    """
    figures = {"jobs": 0, "calls": 0, "other_outcomes": 0, "failed_without": 0}

    def judge(what: str, variables: Environment, outcome: Outcome, wanted: Outcome) -> None:
        figures["jobs" if what in JOBS else "calls"] += 1
        if outcome != wanted:
            figures["other_outcomes"] += 1
            log.error("%s under %s: %.500s, without %.500s", what, variables, outcome, wanted)

    with tempfile.TemporaryDirectory() as made, proxy() as (living, reached):
        folder = _folder(made)
        without = {job: outcome_in(folder, job, {}) for job in JOBS}
        figures["failed_without"] = sum(outcome[0] != 0 for outcome in without.values())
        with run_server(folder / "registry", "toy", START_S) as address:
            wanted = outcome_of_calls(address, {})
            figures["failed_without"] += sum(code != 0 for code, *_ in wanted)
            for proxied in (DEAD, living):
                for variables in environments(proxied, quick):
                    judge("calls", variables, outcome_of_calls(address, variables), wanted)
        for proxied in (DEAD, living):
            at_once = dict.fromkeys((*VARIABLES, "ALL_PROXY"), proxied)
            for variables in [at_once] if quick else [at_once, *environments(proxied, True)]:
                for job in JOBS if proxied == living or not quick else ("nightly",):
                    judge(job, variables, outcome_of_job(job, variables), without[job])
        figures["reached_the_proxy"] = len(reached)
        log.info("reached the proxy: %s", reached)
        words = ("health", "--timeout", "5", "--address", ELSEWHERE)
        _run(ROOT, {"http_proxy": living}, "textvae.cli", *words)
        figures["controls_recorded"] = min(1, len(reached) - figures["reached_the_proxy"])
    targets = {"other_outcomes": 0, "reached_the_proxy": 0, "failed_without": 0}
    targets |= {"controls_recorded": 1}
    return Found(figures, targets, all(figures[name] == targets[name] for name in targets))


if __name__ == "__main__":
    run_drill("proxies", drill)
