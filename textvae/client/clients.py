"""Two clients with the same methods: one waits, one awaits."""

import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from textvae.client import calls, inspection, recording
from textvae.client.failures import error_of
from textvae.client.messages import LIMITS, CallProtocol, CallRequest
from textvae.errors import TextVaeError
from textvae.v1 import model_pb2_grpc, textvae_pb2_grpc

TARGET = "127.0.0.1:50061"
TIMEOUT_S = 30.0
"""Seconds that one call may take; an input in chunks is several calls."""

_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            # Calls change nothing, so all may be repeated. A full server says when to come back.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}
_CHANNEL = (
    ("grpc.service_config", json.dumps(_RETRIES)),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)

Record = Callable[[recording.Exchange], object]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _waiting(
    talk: Callable[Arguments, CallProtocol[Result]],
) -> Callable[Concatenate["Client", Arguments], Result]:
    """A talk as a method that returns its result."""

    @functools.wraps(talk)
    def method(client: "Client", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return client._hold(talk(*args, **kwargs))

    return method


def _awaiting(
    talk: Callable[Arguments, CallProtocol[Result]],
) -> Callable[Concatenate["AsyncClient", Arguments], Awaitable[Result]]:
    """A talk as a coroutine that returns its result."""

    @functools.wraps(talk)
    async def method(
        client: "AsyncClient", /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        return await client._hold(talk(*args, **kwargs))

    return method


class Client:
    """A server's methods; may be used from several threads. Closes with `with` or `close`."""

    def __init__(
        self, target: str = TARGET, timeout_s: float = TIMEOUT_S, record: Record | None = None
    ) -> None:
        """`target` is host:port; nothing is connected before the first call.

        `record` is called with each call on sentences that was answered; see
        `textvae.client.recording`.
        """
        self._target = target
        self._timeout_s = timeout_s
        self._record = record
        self._channel = grpc.insecure_channel(target, _CHANNEL)
        self._methods = _methods(self._channel)
        self._limits: Any = None

    encode = _waiting(calls.encode)
    decode = _waiting(calls.decode)
    sample = _waiting(calls.sample)
    interpolate = _waiting(calls.interpolate)
    paraphrase = _waiting(calls.paraphrase)
    score = _waiting(calls.score)
    replay = _waiting(recording.replay)
    info = _waiting(inspection.info)
    models = _waiting(inspection.models)
    model = _waiting(inspection.model)
    health = _waiting(inspection.health)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hold(self, talk: CallProtocol[Result]) -> Result:
        """The result of a talk whose requests are answered one after another."""
        try:
            ask = next(talk)
            while True:
                try:
                    response = self._answer(ask)
                except TextVaeError as error:
                    ask = talk.throw(error)
                else:
                    ask = talk.send(response)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _answer(self, ask: CallRequest) -> Any:
        """The server's response, or its error as ours."""
        if ask is LIMITS and self._limits:
            return self._limits
        try:
            response = self._methods[ask.method](ask.request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise error_of(error, self._target, self._timeout_s) from error
        if ask is LIMITS:
            self._limits = response
        if self._record and ask.method in recording.KINDS:
            self._record(recording.Exchange(*ask, response))
        return response


class AsyncClient:
    """The same methods to be awaited, in one event loop. Closes with `async with` or `close`."""

    def __init__(
        self, target: str = TARGET, timeout_s: float = TIMEOUT_S, record: Record | None = None
    ) -> None:
        """`target` is host:port; nothing is connected before the first call.

        `record` is called with each call on sentences that was answered; see
        `textvae.client.recording`.
        """
        self._target = target
        self._timeout_s = timeout_s
        self._record = record
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}
        self._limits: Any = None

    encode = _awaiting(calls.encode)
    decode = _awaiting(calls.decode)
    sample = _awaiting(calls.sample)
    interpolate = _awaiting(calls.interpolate)
    paraphrase = _awaiting(calls.paraphrase)
    score = _awaiting(calls.score)
    replay = _awaiting(recording.replay)
    info = _awaiting(inspection.info)
    models = _awaiting(inspection.models)
    model = _awaiting(inspection.model)
    health = _awaiting(inspection.health)

    async def close(self) -> None:
        """Ends the connection."""
        if self._channel is not None:
            await self._channel.close(None)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _hold(self, talk: CallProtocol[Result]) -> Result:
        """The result of a talk whose requests are answered one after another."""
        try:
            ask = next(talk)
            while True:
                try:
                    response = await self._answer(ask)
                except TextVaeError as error:
                    ask = talk.throw(error)
                else:
                    ask = talk.send(response)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _answer(self, ask: CallRequest) -> Any:
        """The server's response, or its error as ours."""
        if ask is LIMITS and self._limits:
            return self._limits
        if self._channel is None:
            # A channel belongs to the event loop it is made in; there is one by the first call.
            self._channel = grpc.aio.insecure_channel(self._target, _CHANNEL)
            self._methods = _methods(self._channel)
        try:
            response = await self._methods[ask.method](ask.request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise error_of(error, self._target, self._timeout_s) from error
        if ask is LIMITS:
            self._limits = response
        if self._record and ask.method in recording.KINDS:
            self._record(recording.Exchange(*ask, response))
        return response


def _methods(channel: Any) -> dict[str, Any]:
    """What to call for each method; the methods of the services have different names."""
    stubs = textvae_pb2_grpc.TextVaeServiceStub(channel), model_pb2_grpc.ModelServiceStub(channel)
    methods = {name: call for stub in stubs for name, call in vars(stub).items()}
    return methods | {inspection.CHECK: channel.unary_unary(inspection.CHECK)}
