"""Calls in files, to be asked again: what was asked and what came back, as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message

from textvae import files
from textvae.client.messages import CallProtocol, CallRequest
from textvae.errors import DataError, NotFoundError
from textvae.v1 import textvae_pb2 as pb

TIMES = ("queue_us", "compute_us", "batch_rows")
"""What two equal calls may differ in: how long they took, and how many rows ran beside them."""

KINDS: dict[str, tuple[type[Message], type[Message]]] = {
    "Encode": (pb.EncodeRequest, pb.EncodeResponse),
    "Decode": (pb.DecodeRequest, pb.DecodeResponse),
    "Sample": (pb.SampleRequest, pb.SampleResponse),
    "Interpolate": (pb.InterpolateRequest, pb.InterpolateResponse),
    "Paraphrase": (pb.ParaphraseRequest, pb.ParaphraseResponse),
    "Score": (pb.ScoreRequest, pb.ScoreResponse),
}


class Exchange(NamedTuple):
    """One call."""

    method: str
    request: Any
    response: Any


def save(path: Path, exchanges: Sequence[Exchange]) -> None:
    """Write the calls; a file appears whole."""
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
    """The calls of a file. Raises NotFoundError, and DataError where it is no such file."""
    try:
        calls = json.loads(path.read_bytes())["calls"]
        return [_exchange(**call) for call in calls]
    except FileNotFoundError:
        raise NotFoundError(f"{path}: there is no such file") from None
    except (ValueError, KeyError, TypeError, json_format.ParseError):
        raise DataError(f"{path}: holds no calls; write it with --record") from None


def _exchange(method: str, request: dict[str, Any], response: dict[str, Any]) -> Exchange:
    """A call from its JSON."""
    asked, answered = KINDS[method]
    return Exchange(
        method,
        json_format.ParseDict(request, asked()),
        json_format.ParseDict(response, answered()),
    )


def replay(exchange: Exchange) -> CallProtocol[list[str]]:
    """Ask again what was asked, with the seed that the server drew and of the version that
    answered -> the fields of the response that are not what they were; none is the same answer.

    VersionError where another version serves.
    """
    asked, made = type(exchange.request)(), exchange.response.metadata
    asked.CopyFrom(exchange.request)
    asked.seed = made.seed
    if exchange.method == "Sample":
        asked.prior = exchange.response.prior
    if exchange.method != "Decode":  # whose latents bring the version with them
        asked.version = made.version
    answer = yield CallRequest(exchange.method, asked)
    return differing(exchange.response, answer)


def differing(one: Any, other: Any) -> list[str]:
    """The top fields in which two responses differ, times left out."""
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
