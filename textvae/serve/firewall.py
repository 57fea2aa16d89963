"""The wall between callers and handlers: every error leaves as a status, never as a traceback.

grpc itself answers a handler's exception, and bytes it cannot parse, with UNKNOWN and the
exception's text; it reads a message before anything of ours runs, however slowly it comes, and
holds a response for as long as nobody takes it. Here every call begins with its headers. Its
message is read raw, within a time and a bound of bytes, walked, parsed and answered inside one
`try`, and the call ends with a status of `status.py`.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, status_pb2

from textvae.config.serve import ServeConfig
from textvae.errors import BusyError, InputError
from textvae.serve.in_hand import Call, Calls
from textvae.serve.quota import Quota
from textvae.serve.scan import TINY_BYTES, Bounds, check_counts, request_types
from textvae.serve.status import MalformedError, abort, info_of, status_of
from textvae.serve.telemetry import Telemetry

METADATA_BYTES_MAX = 16 * 1024
"""Names and values of the headers of a call."""
OFF_LOOP_BYTES = 32 * 1024
"""A message of more bytes is walked and parsed in a thread, while the loop serves others."""
SMALL_BYTES_MAX = 64 * 1024
"""Largest message of a method that takes no lists."""
MESSAGE_FACTOR = 4
"""Bytes held for each byte of a message: raw, parsed, as strings and as arrays."""
RESPONSE_FACTOR = 2
"""Bytes held for each byte of a response: ours, and its copy in grpc."""
SLOW_S = 0.1
"""A message that has not come in this time is slow: it is counted as the largest."""
LATE_S = 0.05
"""A call that is cut so shortly before its time is over is cut by its client's own clock."""
CONTROL_MESSAGES = 16
"""Messages of the largest size that health and reflection may hold, apart from all others."""

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Any
"""grpc's RpcMethodHandler: its stubs leave out the attributes that make it one."""


class Firewall(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Maps the errors of all calls to statuses, and bounds what calls hold and how long."""

    def __init__(
        self,
        config: ServeConfig,
        bounds: Callable[[], Bounds],
        telemetry: Telemetry | None = None,
    ) -> None:
        """`bounds` returns the bounds of a message at this moment."""
        self.calls = Calls()
        self.telemetry = telemetry or Telemetry()
        self._config = config
        self._bounds = bounds
        self._types = request_types()
        largest = config.message_bytes_max
        self._quota = Quota(config.bytes_max, largest)
        # Health must be heard while others fill the server.
        self._control_quota = Quota(CONTROL_MESSAGES * largest, largest)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a method; return None where there is no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            self.telemetry.count_unknown()
            return None
        wrap = self._stream if handler.response_streaming else self._unary
        return wrap(handler, str(handler_call_details.method))

    def _unary(self, handler: Handler, method: str) -> Handler:
        """Wrap the handler of one request and one response: bytes to bytes.

        To grpc it takes a stream, so that it is called before there is a message.
        """
        quota = self._quota_of(method)

        async def answer(_: Any, context: Context) -> bytes:
            call = self._call(Call(method, context.peer), context)
            try:
                await self._begin(call, quota, context)
                raw = await self._read(call, quota, context)
                if raw is None:
                    raise MalformedError("request: there is no message; send one")
                request = await self._parse(handler.request_deserializer, raw, method)
                del raw
                response = await handler.unary_unary(request, context)
                serialised: bytes = handler.response_serializer(response)
                quota.add_response(call, RESPONSE_FACTOR * len(serialised))
                call.record.bytes_out = len(serialised)
                problem = f"call: the response was not taken within {self._config.send_s:g} s"
                call.limit(self._config.send_s, problem)
                return serialised
            except (Exception, asyncio.CancelledError) as error:
                await _refuse(error, call, context)

        return grpc.stream_unary_rpc_method_handler(answer)

    def _stream(self, handler: Handler, method: str) -> Handler:
        """Wrap the handler of a stream, whose responses it writes or yields."""
        quota = self._quota_of(method)
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def answer(_: Any, context: Context) -> None:
            call = self._call(Call(method, context.peer, is_endless=True), context)
            try:
                await self._begin(call, quota, context)
                requests = self._requests(handler.request_deserializer, call, quota, context)
                request = requests if handler.request_streaming else await _first(requests)
                responses = behaviour(request, context)
                if inspect.isasyncgen(responses):
                    async for response in responses:
                        await context.write(response)
                else:
                    await responses
            except (Exception, asyncio.CancelledError) as error:
                await _refuse(error, call, context)

        return grpc.stream_stream_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )

    def _call(self, call: Call, context: Context) -> Call:
        """Let the telemetry know a call from its begin to its end."""
        self.telemetry.begin(call.record)

        def end() -> None:
            if call.problem is not None:  # its client did not take the response in time
                _record(call.problem, status_of(call.problem), call)
            elif call.was_cut:
                _record_cut(call, context)
            self.telemetry.end(call.record)

        call.on_end(end)
        return call

    async def _begin(self, call: Call, quota: Quota, context: Context) -> None:
        """Take a call in hand, if its headers are within their limit.

        grpc counts the headers of a frame, and a client can send any number of frames.
        """
        await self.calls.begin(call)
        call.on_end(lambda: quota.release(call))
        size = sum(len(key) + len(value) for key, value in context.invocation_metadata() or ())
        if size > METADATA_BYTES_MAX:
            problem = f"must have at most {METADATA_BYTES_MAX} bytes, got {size}"
            raise InputError("metadata", f"{problem}; send less with a call")

    @property
    def bytes_held(self) -> int:
        """Return the bytes of messages and responses in hand."""
        return self._quota.bytes + self._control_quota.bytes

    def _quota_of(self, method: str) -> Quota:
        """Return the bound of bytes that holds for a method."""
        return self._quota if method.startswith("/textvae.") else self._control_quota

    async def _requests(
        self, deserialise: Callable[[bytes], Any], call: Call, quota: Quota, context: Context
    ) -> AsyncIterator[Any]:
        """Yield the messages of a stream of requests."""
        while (raw := await self._read(call, quota, context)) is not None:
            yield await self._parse(deserialise, raw, call.method)

    async def _read(self, call: Call, quota: Quota, context: Context) -> bytes | None:
        """Read a message within its time and its room; return None where there is none."""

        def on_slow() -> None:
            quota.add_slow(call)
            problem = f"the message did not come within {self._config.read_s:g} s"
            call.limit(self._config.read_s - SLOW_S, f"request: {problem}; send it faster")

        call.after(SLOW_S, on_slow)
        raw = await context.read()
        call.stop_timer()
        if raw is grpc.aio.EOF:  # type: ignore[attr-defined]
            return None
        assert isinstance(raw, bytes)
        call.record.bytes_in += len(raw)
        quota.add_message(call, MESSAGE_FACTOR * len(raw))
        return raw

    async def _parse(self, deserialise: Callable[[bytes], Any], raw: bytes, method: str) -> Any:
        """Parse a message; raise MalformedError for no message, InputError for too large a one."""
        if method not in self._types and len(raw) > SMALL_BYTES_MAX:
            problem = f"must have at most {SMALL_BYTES_MAX} bytes, got {len(raw)}"
            raise InputError("request", f"{problem}; this method takes no lists")
        if len(raw) > OFF_LOOP_BYTES:
            return await asyncio.to_thread(self._parse_bounded, deserialise, raw, method)
        return self._parse_bounded(deserialise, raw, method)

    def _parse_bounded(self, deserialise: Callable[[bytes], Any], raw: bytes, method: str) -> Any:
        """Walk a message, then parse it."""
        if method in self._types and len(raw) >= TINY_BYTES:
            check_counts(raw, self._types[method], self._bounds())
        try:
            return deserialise(raw)
        except DecodeError:
            raise MalformedError.of_message() from None


async def _first(requests: AsyncIterator[Any]) -> Any:
    """Return the only message of a call."""
    async for request in requests:
        return request
    raise MalformedError("request: there is no message; send one")


def _record(error: Exception, status: status_pb2.Status, call: Call) -> str:
    """Record how a call ends; return the id of a bug, or nothing."""
    info = info_of(status)
    quota = error.quota if isinstance(error, BusyError) else ""
    call.record.fail(code_pb2.Code.Name(status.code), info.reason, quota)
    return str(info.metadata.get("id", ""))


def _record_cut(call: Call, context: Context) -> None:
    """Record that nobody waits for the answer: the client's time was over, or it has cancelled."""
    left_s: float | None = context.time_remaining()
    is_late = left_s is not None and left_s < LATE_S
    call.record.fail("DEADLINE_EXCEEDED" if is_late else "CANCELLED")


async def _refuse(error: BaseException, call: Call, context: Context) -> NoReturn:
    """End the call with the error's status; log a bug with its traceback, which is not sent."""
    call.stop_timer()
    if isinstance(error, asyncio.CancelledError):
        if call.problem is None:  # the client is gone
            _record_cut(call, context)
            raise error
        error = call.problem
    if isinstance(error, grpc.aio.AbortError):
        code: Any = context.code()
        call.record.fail(getattr(code, "name", str(code)))
        raise error
    assert isinstance(error, Exception)
    status = status_of(error)
    if bug := _record(error, status, call):
        _log.error("%s failed, id %s", call.method, bug, exc_info=error)
    try:
        await abort(context, status)
    except grpc.aio.AbortError:
        raise
    except Exception:
        # The client is gone: grpc would print the traceback of its own failure to answer it.
        raise asyncio.CancelledError from None
