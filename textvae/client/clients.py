"""Two clients with the same methods: one blocks, one is for asyncio."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from textvae.client import calls, inspection, recording
from textvae.client.addresses import default_target
from textvae.client.failures import error_of
from textvae.client.messages import LIMITS, CallProtocol, CallRequest
from textvae.client.methods import asynchronous, blocking
from textvae.errors import InputError, TextVaeError
from textvae.proxies import channel_options
from textvae.v1 import model_pb2_grpc, textvae_pb2_grpc
from textvae.wire import RESPONSE_BYTES_MAX

TIMEOUT_S = 30.0
"""Seconds that one call may take; an input in chunks is several calls."""
TIMEOUT_MAX_S = 1e8
"""Three years: from here on there is no limit."""

_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            # Calls change nothing, so all may be retried. A full server sends the time to wait.
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
    ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
    # A server that restarts is found again within a second or so.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

Record = Callable[[recording.Exchange], object]

Result = TypeVar("Result")


class Client:
    """A client that blocks; several threads may share it. Close it by `with` or `close`."""

    def __init__(
        self, target: str | None = None, timeout_s: float = TIMEOUT_S, record: Record | None = None
    ) -> None:
        """Prepare the connection to `target`, host:port; the first call opens it.

        None takes TEXTVAE_ADDRESS of the environment, else 127.0.0.1:50061.

        `record` is called with each answered call on sentences; see `textvae.client.recording`.
        `timeout_s` may be infinite.
        """
        self._target = target = default_target() if target is None else target
        self._timeout_s = _checked(timeout_s)
        self._record = record
        self._channel = grpc.insecure_channel(target, (*_CHANNEL, *channel_options(target)))
        self._methods = _methods(self._channel)
        self._limits: Any = None

    encode = blocking(calls.encode)
    decode = blocking(calls.decode)
    sample = blocking(calls.sample)
    interpolate = blocking(calls.interpolate)
    paraphrase = blocking(calls.paraphrase)
    score = blocking(calls.score)
    replay = blocking(recording.replay)
    info = blocking(inspection.info)
    models = blocking(inspection.models)
    model = blocking(inspection.model)
    health = blocking(inspection.health)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drive(self, protocol: CallProtocol[Result]) -> Result:
        """Drive a call protocol: answer its requests one after another; return its result."""
        try:
            call = next(protocol)
            while True:
                try:
                    response = self._answer(call)
                except TextVaeError as error:
                    call = protocol.throw(error)
                else:
                    call = protocol.send(response)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _answer(self, call: CallRequest) -> Any:
        """Send one request; return the response or raise the error of textvae."""
        if call is LIMITS and self._limits:
            return self._limits
        try:
            response = self._methods[call.method](call.request, timeout=_deadline(self._timeout_s))
        except grpc.RpcError as error:
            raise error_of(error, self._target, self._timeout_s) from error
        if call is LIMITS:
            self._limits = response
        if self._record and call.method in recording.KINDS:
            self._record(recording.Exchange(*call, response))
        return response


class AsyncClient:
    """A client for asyncio, in one event loop. Close it by `async with` or `close`."""

    def __init__(
        self, target: str | None = None, timeout_s: float = TIMEOUT_S, record: Record | None = None
    ) -> None:
        """Prepare the connection to `target`, host:port; the first call opens it.

        None takes TEXTVAE_ADDRESS of the environment, else 127.0.0.1:50061.

        `record` is called with each answered call on sentences; see `textvae.client.recording`.
        `timeout_s` may be infinite.
        """
        self._target = default_target() if target is None else target
        self._timeout_s = _checked(timeout_s)
        self._record = record
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}
        self._limits: Any = None

    encode = asynchronous(calls.encode)
    decode = asynchronous(calls.decode)
    sample = asynchronous(calls.sample)
    interpolate = asynchronous(calls.interpolate)
    paraphrase = asynchronous(calls.paraphrase)
    score = asynchronous(calls.score)
    replay = asynchronous(recording.replay)
    info = asynchronous(inspection.info)
    models = asynchronous(inspection.models)
    model = asynchronous(inspection.model)
    health = asynchronous(inspection.health)

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close(None)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _drive(self, protocol: CallProtocol[Result]) -> Result:
        """Drive a call protocol: answer its requests one after another; return its result."""
        try:
            call = next(protocol)
            while True:
                try:
                    response = await self._answer(call)
                except TextVaeError as error:
                    call = protocol.throw(error)
                else:
                    call = protocol.send(response)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _answer(self, call: CallRequest) -> Any:
        """Send one request; return the response or raise the error of textvae."""
        if call is LIMITS and self._limits:
            return self._limits
        if self._channel is None:
            # A channel belongs to the event loop it is made in; there is one by the first call.
            options = (*_CHANNEL, *channel_options(self._target))
            self._channel = grpc.aio.insecure_channel(self._target, options)
            self._methods = _methods(self._channel)
        try:
            response = await self._methods[call.method](
                call.request, timeout=_deadline(self._timeout_s)
            )
        except grpc.RpcError as error:
            raise error_of(error, self._target, self._timeout_s) from error
        if call is LIMITS:
            self._limits = response
        if self._record and call.method in recording.KINDS:
            self._record(recording.Exchange(*call, response))
        return response


def _checked(timeout_s: float) -> float:
    """Return the seconds; raise InputError where there is no time at all, or no number."""
    if not timeout_s > 0:
        raise InputError("timeout_s", f"must be above 0, got {timeout_s}; inf waits without limit")
    return timeout_s


def _deadline(timeout_s: float) -> float | None:
    """Return the seconds as grpc takes them: no limit for more than it can count."""
    return timeout_s if timeout_s < TIMEOUT_MAX_S else None


def _methods(channel: Any) -> dict[str, Any]:
    """Return the stub of each method; the names of the services' methods are distinct."""
    stubs = textvae_pb2_grpc.TextVaeServiceStub(channel), model_pb2_grpc.ModelServiceStub(channel)
    methods = {name: call for stub in stubs for name, call in vars(stub).items()}
    return methods | {inspection.CHECK: channel.unary_unary(inspection.CHECK)}
