"""Errors as gRPC statuses: code, message, and the google.rpc details a client can act on.

Only messages that were written for the caller leave the server. Anything else, a bug of ours or a
file that is not what its manifest says, becomes INTERNAL with an id that stands in the log beside
the traceback.
"""

import secrets
from typing import Any, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from textvae.errors import BusyError, InputError, NotFoundError, UnavailableError, VersionError

DOMAIN = "textvae"
RETRY_MS = 200
"""How long a refused caller is asked to hold back, in milliseconds."""


class MalformedError(Exception):
    """The bytes of a request are not the message they should be."""


def status_of(error: Exception) -> status_pb2.Status:
    """The status that tells a caller about `error`, whatever it is."""
    match error:
        case InputError():
            return _status(
                code_pb2.INVALID_ARGUMENT, str(error), "FIELD_INVALID", _violation(error)
            )
        case MalformedError():
            return _status(code_pb2.INVALID_ARGUMENT, str(error), "MESSAGE_MALFORMED")
        case VersionError():
            return _status(code_pb2.FAILED_PRECONDITION, str(error), "VERSION_MISMATCH")
        case NotFoundError():
            return _status(code_pb2.NOT_FOUND, str(error), "NOT_FOUND")
        case BusyError():
            delay = Duration()
            delay.FromMilliseconds(RETRY_MS)
            details = error_details_pb2.RetryInfo(retry_delay=delay)
            return _status(code_pb2.RESOURCE_EXHAUSTED, str(error), "BUSY", details)
        case UnavailableError():
            return _status(code_pb2.UNAVAILABLE, str(error), "NOT_SERVING")
    bug = secrets.token_hex(8)
    message = f"the server failed; its log says why under id {bug}"
    return _status(code_pb2.INTERNAL, message, "INTERNAL", id=bug)


def bug_id(status: status_pb2.Status) -> str:
    """The id under which an INTERNAL status is to be logged; empty for every other status."""
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return str(info.metadata.get("id", ""))


async def abort(context: grpc.aio.ServicerContext[Any, Any], status: status_pb2.Status) -> NoReturn:
    """Ends the call with `status`; raises grpc's AbortError."""
    final = rpc_status.to_status(status)
    trailers = final.trailing_metadata
    if status.code == code_pb2.RESOURCE_EXHAUSTED:
        trailers = (*trailers, ("grpc-retry-pushback-ms", str(RETRY_MS)))
    await context.abort(final.code, final.details, trailers)


def _violation(error: InputError) -> error_details_pb2.BadRequest:
    """The field and what is wrong with it, for machines."""
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=error.field, description=error.problem
    )
    return error_details_pb2.BadRequest(field_violations=[violation])


def _status(
    code: int, message: str, reason: str, *details: Message, **metadata: str
) -> status_pb2.Status:
    """A status whose first detail is always an ErrorInfo."""
    status = status_pb2.Status(code=code, message=message)
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
    for detail in (info, *details):
        status.details.add().Pack(detail)
    return status
