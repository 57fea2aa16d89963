"""Two clients with the same methods: one blocks, one is for asyncio."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import grpc

from textvae.client import calls, inspection, recording
from textvae.client.addresses import target_of
from textvae.client.failures import error_of
from textvae.client.inspection import CHECK
from textvae.client.messages import LIMITS, CallProtocol, CallRequest
from textvae.client.methods import asynchronous, blocking
from textvae.client.patience import WAIT_S, Patience, check_wait
from textvae.errors import InputError, TextVaeError
from textvae.proxies import channel_options
from textvae.v1 import model_pb2_grpc, textvae_pb2_grpc
from textvae.wire import (
    CALLER_KEY,
    CALLER_NAME,
    CALLER_WORDS,
    PRIORITY_KEY,
    RESPONSE_BYTES_MAX,
    Priority,
)

TIMEOUT_S = 30.0
"""Seconds that one call may take; an input in chunks is several calls."""
TIMEOUT_MAX_S = 1e8
"""Three years: from here on there is no limit."""

_CHANNEL = (
    ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
    # A server that restarts is found again within a second or so.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

Record = Callable[[recording.Exchange], object]

Result = TypeVar("Result")


class _Caller:
    """What both clients are made from, and what they say of a call."""

    def __init__(
        self,
        target: str | None = None,
        timeout_s: float = TIMEOUT_S,
        record: Record | None = None,
        *,
        wait_s: float = WAIT_S,
        wait_for_ready: bool = False,
        caller: str = "",
        priority: Priority = "interactive",
    ) -> None:
        """Prepare the connection to `target`, host:port; the first call opens it.

        None takes TEXTVAE_ADDRESS of the environment, else 127.0.0.1:50061.

        `timeout_s`: of each try; it may be infinite. `record` is called with each answered call on
        sentences; see `textvae.client.recording`. `wait_s`: seconds that a call may be tried again
        in all, where the server is full (it says for how long), loads or drains, and with
        `wait_for_ready` where there is none yet; 0 tries once. `caller`: a name of 1 to 64 letters,
        digits, dots, hyphens and underscores, by which the server shares its time among callers;
        empty for this connection. A `priority` of bulk gives way to calls that somebody waits for.
        """
        self._target = target_of(target)
        self._timeout_s = _checked(timeout_s)
        self._wait_s, self._wait_for_ready = check_wait(wait_s), wait_for_ready
        self._metadata = _metadata(caller, priority)
        self._record = record
        self._methods: dict[str, Any] = {}
        self._limits: Any = None
        self._prepare()

    def _prepare(self) -> None:
        """Prepare the connection."""
        raise NotImplementedError

    def _options(self) -> tuple[tuple[str, Any], ...]:
        """Return the options of the channel."""
        return (*_CHANNEL, *channel_options(self._target))

    def _patience(self) -> Patience:
        """Return how long a new call may wait."""
        return Patience(self._wait_s, wait_for_ready=self._wait_for_ready)

    def _send(self, call: CallRequest) -> Any:
        """Send a request; return what the stub gives: the response, or what can be awaited."""
        if not self._methods:
            raise InputError("client", "is closed; make a new one")
        deadline_s = self._timeout_s if self._timeout_s < TIMEOUT_MAX_S else None
        stub = self._methods[call.method]
        return stub(call.request, timeout=deadline_s, metadata=self._metadata)

    def _keep(self, call: CallRequest, response: Any) -> Any:
        """Keep what is to be kept of an answered call; return the response."""
        if call is LIMITS:
            self._limits = response
        if self._record and call.method in recording.KINDS:
            self._record(recording.Exchange(*call, response))
        return response


class Client(_Caller):
    """A client that blocks; several threads may share it. Close it by `with` or `close`."""

    def _prepare(self) -> None:
        self._channel = grpc.insecure_channel(self._target, self._options())
        self._methods = _methods(self._channel)

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
        self._methods = {}
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
                    response = self._answer_patiently(call)
                except TextVaeError as error:
                    call = protocol.throw(error)
                else:
                    call = protocol.send(response)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _answer_patiently(self, call: CallRequest) -> Any:
        """Send a request, again where the server will have time for it; return the response."""
        patience = self._patience()
        while True:
            try:
                return self._answer(call)
            except TextVaeError as error:
                pause_s = None if call.method == CHECK else patience.pause_s(error)
                if pause_s is None:
                    raise
            time.sleep(pause_s)

    def _answer(self, call: CallRequest) -> Any:
        """Send one request; return the response or raise the error of textvae."""
        if call is LIMITS and self._limits:
            return self._limits
        try:
            response = self._send(call)
        except grpc.RpcError as error:
            raise error_of(error, self._target, self._timeout_s) from error
        return self._keep(call, response)


class AsyncClient(_Caller):
    """A client for asyncio, in one event loop. Close it by `async with` or `close`."""

    def _prepare(self) -> None:
        self._channel: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

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
        self._methods = {}
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
                    response = await self._answer_patiently(call)
                except TextVaeError as error:
                    call = protocol.throw(error)
                else:
                    call = protocol.send(response)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _answer_patiently(self, call: CallRequest) -> Any:
        """Send a request, again where the server will have time for it; return the response."""
        patience = self._patience()
        while True:
            try:
                return await self._answer(call)
            except TextVaeError as error:
                pause_s = None if call.method == CHECK else patience.pause_s(error)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def _answer(self, call: CallRequest) -> Any:
        """Send one request; return the response or raise the error of textvae."""
        if call is LIMITS and self._limits:
            return self._limits
        if self._channel is None:
            # A channel belongs to the event loop it is made in; there is one by the first call.
            self._channel = grpc.aio.insecure_channel(self._target, self._options())
            self._methods, self._loop = _methods(self._channel), asyncio.get_running_loop()
        if self._loop is not asyncio.get_running_loop():
            raise InputError("client", "belongs to the event loop of its first call; make one here")
        try:
            response = await self._send(call)
        except grpc.RpcError as error:
            raise error_of(error, self._target, self._timeout_s) from error
        return self._keep(call, response)


def _checked(timeout_s: float) -> float:
    """Return the seconds; raise InputError where there is no time at all, or no number."""
    if not timeout_s > 0:
        raise InputError("timeout_s", f"must be above 0, got {timeout_s}; inf waits without limit")
    return timeout_s


def _metadata(caller: str, priority: Priority) -> tuple[tuple[str, str], ...]:
    """Return what every call says of its caller; raise InputError for no such priority."""
    if priority not in get_args(Priority):
        raise InputError("priority", f"must be {' or '.join(get_args(Priority))}, got {priority!r}")
    if caller and not CALLER_NAME.fullmatch(caller):
        raise InputError("caller", f"must be {CALLER_WORDS}, got {caller!r}")
    names = ((CALLER_KEY, caller),) if caller else ()
    return names if priority == "interactive" else (*names, (PRIORITY_KEY, priority))


def _methods(channel: Any) -> dict[str, Any]:
    """Return the stub of each method; the names of the services' methods are distinct."""
    stubs = textvae_pb2_grpc.TextVaeServiceStub(channel), model_pb2_grpc.ModelServiceStub(channel)
    methods = {name: call for stub in stubs for name, call in vars(stub).items()}
    return methods | {CHECK: channel.unary_unary(CHECK)}
