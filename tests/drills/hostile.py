"""`python -m tests.drills.hostile`: a million requests that no stub writes, and clients that stall,
vanish and flood: a status in words for each, right answers after, and no memory kept."""

import asyncio
import dataclasses
import logging
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
from google.rpc import code_pb2

from tests import toys
from tests.drills.hostile_requests import Requests, good_requests
from tests.drills.line import Flag, Found, run_drill
from tests.http2 import Link, message
from tests.serving import Server, serving
from textvae.config.serve import ServeConfig
from textvae.serve.champion import Champion
from textvae.serve.firewall import Firewall
from textvae.serve.models import ModelService
from textvae.serve.scan import bounds_of
from textvae.serve.service import TextVaeService
from textvae.v1 import model_pb2_grpc
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import (
    TextVaeServiceStub,
    add_TextVaeServiceServicer_to_server,
)

log = logging.getLogger(__name__)

REQUESTS = {True: 3000, False: 1_000_000}
STEPS = {True: 30, False: 1200}
WIRE_SHARE = 0.1
TOGETHER = 32
LIMITS = {
    "sentences_max": 32, "count_max": 8, "tokens_max": 32, "steps_max": 8, "waiting_rows_max": 256,
}  # fmt: skip
FLAGS = ("--read-s", "1", "--send-s", "1", "--bytes-max", "67108864")
EXPECTED = {
    code_pb2.OK, code_pb2.INVALID_ARGUMENT, code_pb2.NOT_FOUND, code_pb2.FAILED_PRECONDITION,
    code_pb2.RESOURCE_EXHAUSTED, code_pb2.DEADLINE_EXCEEDED,
}  # fmt: skip
LEAK = re.compile(r"Traceback|File \"|site-packages|\.py\b|object at 0x|Error\(|/registry/")
"""What no status says."""
MEMORY_MIB_MAX = 64.0
MIB = 1024 * 1024


class Ends:
    """How requests ended."""

    def __init__(self) -> None:
        self.codes: Counter[int] = Counter()
        self.bad = self.leaks = self.crashes = 0

    def add(self, code: int, words: str, path: str, raw: bytes) -> None:
        """Count one end; log one that must not be."""
        self.codes[code] += 1
        is_bad, leaks = code not in EXPECTED, bool(LEAK.search(words))
        self.bad += is_bad
        self.leaks += leaks
        if is_bad or leaks:
            log.error("%s %s: %d %s", path, raw[:2000].hex(), code, words[:300])


class Context:
    """The part of a call's context that the firewall uses, with a message that has come."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.end = (0, "")

    async def read(self) -> bytes:
        """Return the message."""
        return self._raw

    def peer(self) -> str:
        """Return the name of the client."""
        return "drill"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the headers."""
        return ()

    def time_remaining(self) -> None:
        """Return no time, for the caller gave none."""

    async def abort(self, code: Any, words: str, _: Any) -> None:
        """End the call."""
        self.end = (int(code.value[0]), words)
        raise grpc.aio.AbortError


class Handlers:
    """What a server's services add themselves to: the handlers by path, behind a firewall."""

    def __init__(self, firewall: Firewall) -> None:
        self._firewall = firewall
        self._found: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
        """Keep them; what follows is for servers that look methods up by their names."""
        for handler in handlers:
            self._found |= handler._method_handlers

    def add_registered_method_handlers(self, *_: Any) -> None:
        """Do nothing."""

    async def answer(self, path: str, raw: bytes) -> tuple[int, str]:
        """The code and the message of a call."""

        async def find(_: Any) -> Any:
            return self._found.get(path)

        details: Any = SimpleNamespace(method=path)
        context, handler = Context(raw), await self._firewall.intercept_service(find, details)
        try:
            await handler.stream_unary(None, context)
        except grpc.aio.AbortError:
            return context.end
        return 0, ""


async def call_in_process(registry: Path, numbers: range, ends: Ends) -> None:
    """Send requests to the services through the firewall, without a wire."""
    config = ServeConfig(threads=1, **LIMITS)  # type: ignore[arg-type]
    champion = Champion(registry, toys.MODEL, "", config)
    await champion.load()
    latent = champion.engine.latent
    firewall = Firewall(config, lambda: bounds_of(config, latent))
    handlers = Handlers(firewall)
    add_TextVaeServiceServicer_to_server(TextVaeService(champion, config), handlers)
    count = firewall.calls.in_hand
    models = ModelService(champion, registry, config.message_bytes_max, count)
    model_pb2_grpc.add_ModelServiceServicer_to_server(models, handlers)
    requests = Requests(champion.engine.version.name, latent, seed=0)
    waiting = iter(numbers)

    async def caller() -> None:
        for number in waiting:
            path, raw = requests.number(number)
            if path.startswith("/grpc."):
                continue
            try:
                ends.add(*await asyncio.create_task(handlers.answer(path, raw)), path, raw)
            except (Exception, asyncio.CancelledError):
                log.exception("%s %s", path, raw[:2000].hex())
                ends.crashes += 1
            if number % 50_000 == 0:
                log.info("%d: %s", number, dict(ends.codes))

    await asyncio.gather(*(caller() for _ in range(TOGETHER)))
    await champion.close(20)


def call_over_wire(server: Server, requests: Requests, numbers: range, ends: Ends) -> None:
    """Send requests to a server, some at a time."""
    with grpc.insecure_channel(server.address) as channel:
        for first in range(numbers.start, numbers.stop, TOGETHER):
            batch = [
                requests.number(number)
                for number in range(first, min(first + TOGETHER, numbers.stop))
            ]
            calls = [channel.unary_unary(path).future(raw, timeout=60) for path, raw in batch]
            for call, (path, raw) in zip(calls, batch, strict=True):
                error = call.exception()
                code = int(error.code().value[0]) if error else 0
                ends.add(code, str(error.details()) if error else "", path, raw)


def harm(address: str, rounds: int) -> None:
    """Clients that stall, vanish, flood, never read, and send bombs."""
    wide = pb.EncodeRequest(sentences=["a cat"] * 32, sample_count=8).SerializeToString()
    for _ in range(rounds):
        links = [Link(address, window=0) for _ in range(20)]
        for number, link in enumerate(links):
            stream = link.begin()
            if number % 4 == 0:  # half of a message, and silence
                link.send(stream, message(bytes(40_000), announced=8 * MIB), end=False)
            elif number % 4 == 1:  # a response that nobody reads
                link.send(stream, message(wide))
            elif number % 4 == 2:  # a flood of calls that are reset at once
                for _ in range(200):
                    stream = link.begin()
                    link.send(stream, message(wide))
                    link.reset(stream)
            # else: no message at all
        time.sleep(1.5)
        for link in links:
            link.close()
        for bomb in (bytes(64 * MIB), b"\x0a\x00" * (4 * MIB - 99)):
            with grpc.insecure_channel(address, (("grpc.max_send_message_length", -1),)) as channel:
                method = channel.unary_unary("/textvae.v1.TextVaeService/Interpolate")
                try:
                    method(bomb, timeout=30, compression=grpc.Compression.Gzip)
                except grpc.RpcError as error:
                    log.info("a bomb: %s", error.details())  # type: ignore[attr-defined]


def answers(server: Server, latent: int) -> list[bytes]:
    """What a server answers to good requests, without times."""
    found = []
    with grpc.insecure_channel(server.address) as channel:
        stub = TextVaeServiceStub(channel)
        for path, request in good_requests(server.version, latent).items():
            response = getattr(stub, path.rpartition("/")[2])(request, timeout=60)
            for field in ("queue_us", "compute_us", "batch_rows"):
                response.metadata.ClearField(field)
            found.append(response.SerializeToString(deterministic=True))
    return found


def held(server: Server) -> tuple[int, float]:
    """The descriptors that a server has open, and its resident memory in MiB."""
    folder = Path(f"/proc/{server.process.pid}")
    resident = int((folder / "statm").read_text(encoding="ascii").split()[1])
    return len(list((folder / "fd").iterdir())), resident * os.sysconf("SC_PAGE_SIZE") / MIB


def wire_flags() -> Iterator[str]:
    """The flags of the server that the wire leads to."""
    yield from FLAGS
    for name, value in LIMITS.items():
        yield from (f"--{name.replace('_', '-')}", str(value))


def drill(quick: bool, requests: int) -> Found:
    """All of it against one version, in one process and over the wire."""
    count = requests or REQUESTS[quick]
    wire = int(count * WIRE_SHARE)
    recipe, ends = toys.recipe(), Ends()
    short = dataclasses.replace(recipe.training, steps=STEPS[quick], collapse_stops=False)
    latent = recipe.model.latent
    with tempfile.TemporaryDirectory() as folder:
        registry = Path(folder) / "registry"
        version = toys.published(registry, Path(folder) / "run", recipe._replace(training=short))
        toys.promoted(registry, version)
        with serving(registry, *wire_flags()) as server:
            source = Requests(version.name, latent, seed=1)
            before = answers(server, latent)
            call_over_wire(server, source, range(wire // 5), ends)
            harm(server.address, 1)
            descriptors, memory_mib = held(server)
            call_over_wire(server, source, range(wire // 5, wire), ends)
            harm(server.address, 1 if quick else 20)
            time.sleep(3)
            differ = sum(a != b for a, b in zip(before, answers(server, latent), strict=True))
            descriptors_after, memory_after_mib = held(server)
            server_log = server.log_text()
            tracebacks = server_log.count("Traceback")
            if tracebacks:
                log.error("the server's log: %s", server_log[-20_000:])
        asyncio.run(call_in_process(registry, range(wire, count), ends))
    log.info("codes: %s", dict(ends.codes))
    figures = {
        "requests": float(count),
        "over_the_wire": float(wire),
        "answered": float(ends.codes[code_pb2.OK]),
        "unexpected_statuses": float(ends.bad),
        "leaks": float(ends.leaks),
        "crashes": float(ends.crashes + tracebacks),
        "wrong_answers_after": float(differ),
        "descriptors_more": float(max(descriptors_after - descriptors, 0)),
        "memory_more_mib": round(max(memory_after_mib - memory_mib, 0.0), 1),
    }
    none = ("unexpected_statuses", "leaks", "crashes", "wrong_answers_after")
    targets = dict.fromkeys(none, 0.0) | {
        "descriptors_more": 4.0,
        "memory_more_mib": MEMORY_MIB_MAX,
    }
    is_held = all(figures[name] <= target for name, target in targets.items())
    return Found(figures, targets, is_held and ends.codes[code_pb2.OK] > count / 100)


if __name__ == "__main__":
    run_drill(
        "hostile",
        drill,
        Flag(
            "requests", 0, f"how many requests; 0 for {REQUESTS[False]:,}, quick {REQUESTS[True]:,}"
        ),
    )
