"""Recorded calls in JSON files, to be replayed: each request with its response."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message

from textvae import files
from textvae.client.messages import CallProtocol, CallRequest, pin
from textvae.errors import DataError, NotFoundError
from textvae.v1 import textvae_pb2 as pb

TIMES = ("queue_us", "compute_us", "batch_rows")
"""The metadata in which two equal calls may differ: their times, and the rows of the batch."""

KINDS: dict[str, tuple[type[Message], type[Message]]] = {
    "Encode": (pb.EncodeRequest, pb.EncodeResponse),
    "Decode": (pb.DecodeRequest, pb.DecodeResponse),
    "Sample": (pb.SampleRequest, pb.SampleResponse),
    "Interpolate": (pb.InterpolateRequest, pb.InterpolateResponse),
    "Paraphrase": (pb.ParaphraseRequest, pb.ParaphraseResponse),
    "Score": (pb.ScoreRequest, pb.ScoreResponse),
}


class Exchange(NamedTuple):
    """A call: its request and its response."""

    method: str
    request: Any
    response: Any


def save(path: Path, exchanges: Sequence[Exchange]) -> None:
    """Write the calls; the file appears complete or not at all."""
    calls = [
        {
            "method": one.method,
            "request": json_format.MessageToDict(one.request, preserving_proto_field_name=True),
            "response": json_format.MessageToDict(one.response, preserving_proto_field_name=True),
        }
        for one in exchanges
    ]
    files.write_text(path, json.dumps({"calls": calls}, ensure_ascii=False, indent=1) + "\n")


def load(path: Path) -> list[Exchange]:
    """Read the calls of a file. Raise NotFoundError, or DataError where it holds no calls."""
    try:
        calls = json.loads(path.read_bytes())["calls"]
        return [_exchange(**call) for call in calls]
    except FileNotFoundError:
        raise NotFoundError(f"{path}: there is no such file") from None
    except (ValueError, KeyError, TypeError, json_format.ParseError):
        raise DataError(f"{path}: holds no calls; write it with --record") from None


def _exchange(method: str, request: dict[str, Any], response: dict[str, Any]) -> Exchange:
    """Parse a call from its JSON."""
    request_kind, response_kind = KINDS[method]
    return Exchange(
        method,
        json_format.ParseDict(request, request_kind()),
        json_format.ParseDict(response, response_kind()),
    )


def replay(exchange: Exchange) -> CallProtocol[list[str]]:
    """Repeat a call with the seed and version of its response; return the fields that differ.

    Raise VersionError where another version serves.
    """
    request = type(exchange.request)()
    request.CopyFrom(exchange.request)
    pin(request, exchange.response.metadata)
    if exchange.method == "Sample":
        request.prior = exchange.response.prior
    response = yield CallRequest(exchange.method, request)
    return differing(exchange.response, response)


def differing(one: Any, other: Any) -> list[str]:
    """Return the top-level fields in which two responses differ, apart from TIMES."""
    pair = []
    for response in (one, other):
        timeless = type(response)()
        timeless.CopyFrom(response)
        for field in TIMES:
            timeless.metadata.ClearField(field)
        pair.append(timeless)
    return [
        field.name
        for field in type(one).DESCRIPTOR.fields
        if getattr(pair[0], field.name) != getattr(pair[1], field.name)
    ]
