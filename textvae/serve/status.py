"""Errors as gRPC statuses: code, message, and the google.rpc details a client can act on.

Only messages for the caller leave the server. Anything else, a bug of ours or a file that does not
match its manifest, becomes INTERNAL with an id, under which the log has the traceback.
"""

import secrets
from typing import Any, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from textvae.errors import (
    BusyError,
    ExpiredError,
    InputError,
    NotFoundError,
    UnavailableError,
    VersionError,
)

DOMAIN = "textvae"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""The trailer that tells a client of grpc when to retry (gRFC A6)."""
MESSAGE_BYTES_MAX = 1024
"""Longest text of a status. It is sent up to three times, once with three characters a byte, and a
client of grpc takes 8 KiB of trailers: more would hide the status itself."""
UNAVAILABLE_RETRY_S = 1.0
"""Seconds after which a server that loads or was replaced may answer."""


class MalformedError(Exception):
    """The bytes of a request are not its message."""

    @classmethod
    def of_message(cls) -> "MalformedError":
        """Return the error of bytes that cannot be parsed."""
        problem = "the bytes are not such a message, or a string in it is not UTF-8"
        return cls(f"request: {problem}; send what the stubs of textvae.v1 write")


class TooSlowError(Exception):
    """A client did not send its message, or take its response, in time."""


def status_of(error: Exception) -> status_pb2.Status:
    """Return the status that reports `error`, of any class, to the caller."""
    match error:
        case InputError():
            return _status(
                code_pb2.INVALID_ARGUMENT, str(error), "FIELD_INVALID", _violation(error)
            )
        case MalformedError():
            return _status(code_pb2.INVALID_ARGUMENT, str(error), "MESSAGE_MALFORMED")
        case TooSlowError():
            return _status(code_pb2.DEADLINE_EXCEEDED, str(error), "TOO_SLOW")
        case VersionError():
            return _status(code_pb2.FAILED_PRECONDITION, str(error), "VERSION_MISMATCH")
        case NotFoundError():
            return _status(code_pb2.NOT_FOUND, str(error), "NOT_FOUND")
        case BusyError():
            details: list[Message] = [_retry_info(error.retry_s)]
            if error.quota:
                details.append(_quota_failure(error))
            return _status(code_pb2.RESOURCE_EXHAUSTED, str(error), "BUSY", *details)
        case ExpiredError():
            return _status(code_pb2.DEADLINE_EXCEEDED, str(error), "EXPIRED")
        case UnavailableError():
            retry = _retry_info(UNAVAILABLE_RETRY_S)
            return _status(code_pb2.UNAVAILABLE, str(error), "NOT_SERVING", retry)
    bug = secrets.token_hex(8)
    message = f"the server failed; its log says why under id {bug}"
    return _status(code_pb2.INTERNAL, message, "INTERNAL", id=bug)


def info_of(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    """Return the reason of a status, and of an INTERNAL one the id under which to log it."""
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info


async def abort(context: grpc.aio.ServicerContext[Any, Any], status: status_pb2.Status) -> NoReturn:
    """End the call with `status` by raising grpc's AbortError."""
    final = rpc_status.to_status(status)
    trailers = final.trailing_metadata
    for detail in status.details:
        # A client that has another server need not wait for this one.
        is_busy = final.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        if is_busy and detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            info = error_details_pb2.RetryInfo()
            detail.Unpack(info)
            trailers = (*trailers, (PUSHBACK_KEY, str(info.retry_delay.ToMilliseconds())))
    await context.abort(final.code, final.details, trailers)


def _retry_info(seconds: float) -> Message:
    """Return when to retry, at least a millisecond from now."""
    delay = Duration()
    delay.FromMilliseconds(max(round(1000 * seconds), 1))
    info: Message = error_details_pb2.RetryInfo(retry_delay=delay)
    return info


def _quota_failure(error: BusyError) -> Message:
    """Return the limit that was reached, for machines."""
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=error.quota, description=_clipped(str(error))
    )
    failure: Message = error_details_pb2.QuotaFailure(violations=[violation])
    return failure


def _violation(error: InputError) -> error_details_pb2.BadRequest:
    """Return the field and its problem, for machines."""
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=_clipped(error.field), description=_clipped(error.problem)
    )
    return error_details_pb2.BadRequest(field_violations=[violation])


def _status(
    code: int, message: str, reason: str, *details: Message, **metadata: str
) -> status_pb2.Status:
    """Build a status whose first detail is an ErrorInfo."""
    status = status_pb2.Status(code=code, message=_clipped(message))
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
    for detail in (info, *details):
        status.details.add().Pack(detail)
    return status


def _clipped(text: str) -> str:
    """Return text that a status has room for, for errors may quote what a caller sent."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= MESSAGE_BYTES_MAX:
        return encoded.decode()
    kept = encoded[:MESSAGE_BYTES_MAX].decode(errors="ignore")
    return f"{kept}... ({len(text) - len(kept)} characters more)"
