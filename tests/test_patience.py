"""A client and a server that is full, drains, or is not there yet: who waits, and for how long."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from textvae.client import AsyncClient, Client
from textvae.errors import BusyError, InputError, UnavailableError
from textvae.serve.status import status_of
from textvae.v1 import model_pb2, model_pb2_grpc, textvae_pb2_grpc
from textvae.v1 import textvae_pb2 as pb
from textvae.wire import CALLER_KEY, PRIORITY_KEY

SENTENCE = pb.GeneratedSentence(text="a cat", tokens=2)


class Busy(textvae_pb2_grpc.TextVaeServiceServicer, model_pb2_grpc.ModelServiceServicer):
    """A server that ends calls by its refusals, and then has `room` for so many at once."""

    def __init__(self) -> None:
        self.refusals: list[Exception] = []
        self.calls: list[dict[str, Any]] = []
        self.room = threading.Semaphore(100)

    def GetServerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        limits = model_pb2.Limits(count_max=100, rows_max=100, sentences_max=100)
        return model_pb2.GetServerInfoResponse(version="v", limits=limits)

    def Sample(self, request: Any, context: Any) -> Any:  # noqa: N802 - the proto's name
        self.calls.append(dict(context.invocation_metadata()))
        if self.refusals:
            context.abort_with_status(rpc_status.to_status(status_of(self.refusals.pop())))
        if not self.room.acquire(blocking=False):
            refusal = BusyError("engine: full", retry_s=0.1, quota="rows")
            context.abort_with_status(rpc_status.to_status(status_of(refusal)))
        time.sleep(0.02)
        self.room.release()
        metadata = pb.Metadata(version="v", seed=1)
        return pb.SampleResponse(
            sentences=[SENTENCE],
            latents=pb.Latents(version="v", columns=1, values=[0.0]),
            metadata=metadata,
        )


def add(servicer: Busy, server: grpc.Server) -> None:
    """Let a server have both services."""
    textvae_pb2_grpc.add_TextVaeServiceServicer_to_server(servicer, server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)


@pytest.fixture
def busy() -> Iterator[tuple[Busy, str]]:
    """Such a server at a free port, and its address."""
    server, servicer = grpc.server(futures.ThreadPoolExecutor(16)), Busy()
    add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None)


def test_a_refused_call_comes_again_when_the_server_said(busy: tuple[Busy, str]) -> None:
    server, address = busy
    server.refusals = [BusyError("engine: full", retry_s=0.3) for _ in range(2)]
    began = time.monotonic()
    with Client(address) as client:
        assert client.sample(1).sentences[0].text == "a cat"
    assert 0.6 <= time.monotonic() - began < 5
    assert len(server.calls) == 3


def test_a_client_waits_no_longer_than_it_was_told(busy: tuple[Busy, str]) -> None:
    server, address = busy
    server.refusals = [BusyError("engine: full", retry_s=30.0, quota="time")]
    with Client(address) as client, pytest.raises(BusyError, match="full") as refused:
        client.sample(1)
    assert (refused.value.retry_s, refused.value.quota) == (30.0, "time")
    server.refusals = [BusyError("engine: full", retry_s=0.01)]
    with Client(address, wait_s=0) as client, pytest.raises(BusyError):
        client.sample(1)
    assert len(server.calls) == 2


def test_a_server_that_drains_is_waited_for(busy: tuple[Busy, str]) -> None:
    server, address = busy
    server.refusals = [UnavailableError("the server drains; call another")] * 3
    with Client(address) as client:
        assert client.sample(1).sentences[0].text == "a cat"
    server.refusals = [UnavailableError("the server drains; call another")]
    with Client(address, wait_s=0) as client, pytest.raises(UnavailableError, match="drains"):
        client.sample(1)


def test_a_hundred_calls_at_once_of_an_asyncio_client_are_all_answered(
    busy: tuple[Busy, str],
) -> None:
    """Though the server takes three at a time."""
    server, address = busy
    server.room = threading.Semaphore(3)

    async def call_all() -> int:
        async with AsyncClient(address, wait_s=60) as client:
            found = await asyncio.gather(*(client.sample(1, seed=seed) for seed in range(100)))
        return len(found)

    assert asyncio.run(call_all()) == 100
    assert len(server.calls) > 100, "none was refused; the test shows nothing"


def test_a_server_that_is_not_there_yet_is_waited_for_where_the_client_is_told_to() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    with Client(address) as client, pytest.raises(UnavailableError, match="no server answers"):
        client.sample(1)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add(Busy(), server)

    def start() -> None:
        time.sleep(1.0)
        server.add_insecure_port(address)
        server.start()

    threading.Thread(target=start).start()
    with Client(address, wait_s=30, wait_for_ready=True) as client:
        assert client.sample(1).sentences[0].text == "a cat"
    server.stop(None)


def test_a_call_says_whose_it_is_and_how_urgent(busy: tuple[Busy, str]) -> None:
    server, address = busy
    with Client(address, caller="nightly-report", priority="bulk") as client:
        client.sample(1)
    with Client(address) as client:
        client.sample(1)
    first, second = server.calls
    assert (first[CALLER_KEY], first[PRIORITY_KEY]) == ("nightly-report", "bulk")
    assert CALLER_KEY not in second
    assert PRIORITY_KEY not in second


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("name", "value"),
    [("wait_s", -1.0), ("wait_s", float("nan")), ("priority", "high"), ("caller", "a b")],
)
def test_options_that_are_none_are_refused(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^{name}: must be "):
        kind("127.0.0.1:1", **{name: value})
