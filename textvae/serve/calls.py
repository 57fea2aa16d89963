"""What a call says beside its message: who calls, how soon, and which version is meant."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import grpc

from textvae.config.serve import ServeConfig
from textvae.engine.caller import Caller
from textvae.errors import InputError
from textvae.v1 import textvae_pb2 as pb
from textvae.wire import CALLER_KEY, CALLER_NAME, CALLER_WORDS, PRIORITY_KEY, Priority

Context = grpc.aio.ServicerContext[Any, Any]


def caller_of(context: Context, weights: Mapping[str, float]) -> Caller:
    """Return who calls: the name in the metadata, or the connection.

    Raise InputError for metadata that is none of the words it may be.
    """
    metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
    name = metadata.get(CALLER_KEY, context.peer())
    if CALLER_KEY in metadata and not CALLER_NAME.fullmatch(name):
        problem = f"must be {CALLER_WORDS}; leave it out for the connection"
        raise InputError(f"metadata {CALLER_KEY}", problem)
    priority = metadata.get(PRIORITY_KEY, "interactive")
    if priority not in get_args(Priority):
        problem = f"must be {' or '.join(get_args(Priority))}, or left out"
        raise InputError(f"metadata {PRIORITY_KEY}", problem)
    return Caller(name, weights.get(name, 1.0), priority == "bulk")


def deadline_s_of(context: Context, config: ServeConfig) -> float:
    """Return by when the answer is wanted, in seconds of the monotonic clock."""
    left_s: float | None = context.time_remaining()  # grpc's stubs leave out None
    given_s = config.deadline_default_s if left_s is None else left_s
    return time.monotonic() + min(given_s, config.deadline_max_s)


def version_of(message: Any) -> str:
    """Return the version that a request names; empty where it names none."""
    return next((name for name in _versions(message) if name), "")


def _versions(message: Any) -> Iterator[str]:
    """Yield the versions that a request names, its own first."""
    fields = message.DESCRIPTOR.fields_by_name
    if "version" in fields:
        yield message.version
    if "latents" in fields:
        yield message.latents.version
    if isinstance(message, pb.InterpolateRequest):
        for point in message.points:
            if point.HasField("latents"):
                yield point.latents.version
