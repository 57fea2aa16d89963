"""The smoke test: a real server of the version on loopback answers every method in time.

After the early warning of Olston et al. 2017 (TensorFlow-Serving): a version that loads in a test
may still fail as it is served, so the program that will serve it is called before the promotion.
"""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from textvae.client import Client
from textvae.config.nightly import NightlyConfig
from textvae.config.serve import ServeConfig
from textvae.errors import TextVaeError, UnavailableError
from textvae.evaluation.length_limits import LENGTH_LIMITS
from textvae.store.versions import Version

STOP_S = 30.0


class SmokeTestResult(NamedTuple):
    """Times and faults of the calls."""

    took_ms: dict[str, float]
    """Milliseconds of each answered call, and of the start."""
    faults: list[str]
    """A sentence for each call that failed or took too long."""


def call_every_method(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    config: NightlyConfig,
    serve: ServeConfig,
) -> SmokeTestResult:
    """Start a server of the version, with these length limits and threads, and call each of its
    methods with `sentences`."""
    answers = SmokeTestResult({}, [])
    limits = {name: getattr(serve, name) for name in (*LENGTH_LIMITS, "threads")}
    flags = ["--version", version.name]
    flags += [f"--{name.replace('_', '-')}={limit}" for name, limit in limits.items()]
    began = time.monotonic()
    try:
        with run_server(registry, version.model, config.start_timeout_s, *flags) as address:
            answers.took_ms["start"] = 1000 * (time.monotonic() - began)
            with Client(address, timeout_s=config.answer_timeout_s) as client:
                _make_calls(_calls(client, version, sentences), config.answer_timeout_s, answers)
    except UnavailableError as error:
        answers.faults.append(f"{version.name}: {error}")
    return answers


@contextmanager
def run_server(
    registry: Path, model: str, start_timeout_s: float, *flags: str, module: str = "textvae.serve"
) -> Iterator[str]:
    """Run a server at a free port of loopback until the context ends; yields its address.

    It has these flags of `textvae serve` and logs where this process does. Raises UnavailableError
    where it is not ready in time.
    """
    arguments = ["--registry", str(registry), "--model", model, "--port", "0", *flags]
    process = subprocess.Popen(  # noqa: S603 - our own server
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        line = _first_line(process.stdout, start_timeout_s)
        if not line:
            problem = f"is not ready after {start_timeout_s:g} s"
            if process.poll() is not None:
                problem = f"ended with exit code {process.returncode} before it was ready"
            raise UnavailableError(f"its server {problem}")
        yield line.split()[-1]
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _make_calls(
    calls: Mapping[str, Callable[[], Any]], timeout_s: float, answers: SmokeTestResult
) -> None:
    """Make each call, and record how long it took or how it failed."""
    for name, call in calls.items():
        began = time.monotonic()
        try:
            call()
        except TextVaeError as error:
            answers.faults.append(f"{name} was not answered: {error}")
            continue
        answers.took_ms[name] = 1000 * (time.monotonic() - began)
        if answers.took_ms[name] > 1000 * timeout_s:
            answers.faults.append(
                f"{name} took {answers.took_ms[name]:.0f} ms, "
                f"at most {1000 * timeout_s:.0f} are allowed"
            )


def _calls(
    client: Client, version: Version, sentences: Sequence[str]
) -> dict[str, Callable[[], Any]]:
    """Return a call of every method, on these sentences."""
    texts = list(sentences)
    ends = (texts[0], texts[-1])

    def decode() -> Any:
        return client.decode(client.encode(texts).mean)

    return {
        "health": client.health,
        "GetServerInfo": client.info,
        "ListModels": client.models,
        "GetModel": lambda: client.model(f"models/{version.model}/versions/{version.name}"),
        "Encode": lambda: client.encode(texts),
        "Decode": decode,
        "Sample": lambda: client.sample(len(texts), seed=0),
        "Interpolate": lambda: client.interpolate(ends, steps=3),
        "Paraphrase": lambda: client.paraphrase(texts, count=2, seed=0),
        "Score": lambda: client.score(texts),
    }


def _first_line(stream: IO[str] | None, timeout_s: float) -> str:
    """Return the first line of a process; empty where it ends or writes nothing in time."""
    assert stream is not None, "the server's stdout is a pipe"
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        return lines.get(timeout=timeout_s)
    except queue.Empty:
        return ""
