"""gRPC errors as the errors of textvae, by the reason in the server's status."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from textvae.errors import (
    BusyError,
    InputError,
    NotFoundError,
    TextVaeError,
    UnavailableError,
    VersionError,
)
from textvae.proxies import proxy_between

_KINDS: dict[str, type[TextVaeError]] = {
    "VERSION_MISMATCH": VersionError,
    "NOT_FOUND": NotFoundError,
    "BUSY": BusyError,
    "NOT_SERVING": UnavailableError,
}


def error_of(error: grpc.RpcError, target: str, timeout_s: float) -> TextVaeError:
    """Return `error` as the class of the party that can act; TextVaeError for the server itself."""
    # Every RpcError that a call raises is a grpc.Call as well, which the types do not say.
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    code, message = error.code(), error.details() or ""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(request)
    if request.field_violations:
        violation = request.field_violations[0]
        return InputError(violation.field, violation.description)
    if info.reason in _KINDS:
        return _KINDS[info.reason](message)
    if code == grpc.StatusCode.UNAVAILABLE:
        fix = "start one with textvae serve, or name another address"
        return UnavailableError(f"{target}: no server answers ({message}); {fix}{_proxy(target)}")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        fix = "ask for less, or allow more time"
        return UnavailableError(
            f"{target}: no answer within {timeout_s:g} s; {fix}{_proxy(target)}"
        )
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return InputError("request", f"{message}; send less in one call")
    return TextVaeError(f"{target}: {code.name}: {message}{_proxy(target)}")


def _proxy(target: str) -> str:
    """Return the words about a proxy between client and server; empty where there is none."""
    proxy = proxy_between(target)
    fix = "list the host in no_proxy to go without"
    return f"; the proxy of {proxy} in the environment stood between: {fix}" if proxy else ""


def status_of(error: TextVaeError) -> str:
    """Return the name of the gRPC status that an error of a call stands for; empty for none."""
    cause = error.__cause__
    return str(cause.code().name) if isinstance(cause, grpc.Call | grpc.aio.AioRpcError) else ""
