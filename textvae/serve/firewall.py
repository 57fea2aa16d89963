"""The wall between callers and handlers: every error leaves as a status, never as a traceback.

grpc itself answers a handler's exception, and bytes it cannot parse, with UNKNOWN and the
exception's text. Here every call takes its bytes raw, is parsed, answered and serialised inside
one `try`, and ends with a status of `status.py`.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from textvae.errors import UnavailableError
from textvae.serve.status import MalformedError, abort, bug_id, status_of

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Any
"""grpc's RpcMethodHandler: its stubs leave out the attributes that make it one."""


class Firewall(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Maps the errors of all calls to statuses; ends the streams when the server drains."""

    def __init__(self) -> None:
        self._streams: set[asyncio.Task[Any]] = set()
        self._ending = False

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a method; return None where there is no such method."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None:
            return None
        return (
            self._stream(handler, method) if handler.response_streaming else _unary(handler, method)
        )

    def end_streams(self) -> None:
        """End the streams, such as health watches, which never end by themselves."""
        self._ending = True
        for stream in self._streams:
            stream.cancel()

    def _stream(self, handler: Handler, method: str) -> Handler:
        """Wrap the handler of a stream, whose responses it writes or yields."""
        takes_stream = handler.request_streaming
        behaviour = handler.stream_stream if takes_stream else handler.unary_stream
        parse = _parse_all if takes_stream else _parse

        async def call(raw: Any, context: Context) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            try:
                answer = behaviour(parse(handler.request_deserializer, raw), context)
                if inspect.isasyncgen(answer):
                    async for response in answer:
                        await context.write(response)
                else:
                    await answer
            except asyncio.CancelledError:
                if not self._ending:
                    raise
                await _refuse(UnavailableError("the server drains; call another"), method, context)
            except Exception as error:
                await _refuse(error, method, context)
            finally:
                self._streams.discard(task)

        wrap = (
            grpc.stream_stream_rpc_method_handler
            if takes_stream
            else grpc.unary_stream_rpc_method_handler
        )
        return wrap(call, response_serializer=handler.response_serializer)


def _unary(handler: Handler, method: str) -> Handler:
    """Wrap the handler of one request and one response: bytes to bytes."""

    async def call(raw: bytes, context: Context) -> bytes:
        try:
            request = _parse(handler.request_deserializer, raw)
            response = await handler.unary_unary(request, context)
            serialised: bytes = handler.response_serializer(response)
            return serialised
        except Exception as error:
            await _refuse(error, method, context)

    return grpc.unary_unary_rpc_method_handler(call)


def _parse(deserialise: Callable[[bytes], Any], raw: bytes) -> Any:
    """Parse the message in `raw`; raise MalformedError where it is none."""
    try:
        return deserialise(raw)
    except DecodeError:
        problem = "the bytes are not such a message, or a string in it is not UTF-8"
        raise MalformedError(
            f"request: {problem}; send what the stubs of textvae.v1 write"
        ) from None


async def _parse_all(
    deserialise: Callable[[bytes], Any], stream: AsyncIterator[bytes]
) -> AsyncIterator[Any]:
    """Yield the messages of a stream of requests."""
    async for raw in stream:
        yield _parse(deserialise, raw)


async def _refuse(error: Exception, method: str, context: Context) -> NoReturn:
    """End the call with the error's status; log a bug with its traceback, which is not sent."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    status = status_of(error)
    if bug := bug_id(status):
        _log.error("%s failed, id %s", method, bug, exc_info=error)
    await abort(context, status)
