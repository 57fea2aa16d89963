"""Messages from values and values from messages, and the sending of one input in chunks."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import Message

from textvae.client.results import Facts, GeneratedSentence, Latents
from textvae.errors import InputError, VersionError
from textvae.options import Options
from textvae.v1 import model_pb2
from textvae.v1 import textvae_pb2 as pb
from textvae.wire import latents_message

STARTS_MAX = 3
"""Most times that an input in chunks is begun, should the champion change in the midst of each."""

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=Message)


class CallRequest(NamedTuple):
    """A request to send."""

    method: str
    request: Any


CallProtocol = Generator[CallRequest, Any, Result]
"""Yields requests, is sent their responses, ends with a result."""

LIMITS = CallRequest("GetServerInfo", model_pb2.GetServerInfoRequest())
"""What a talk yields to know the server's limits; a client asks once and remembers."""


def in_chunks(
    method: str, request: Callable[[int, int], Any], count: int, size: int
) -> CallProtocol[list[Any]]:
    """The responses to requests for items start to end, `size` at most in each, in order.

    The first response says version and seed, and the later requests ask for both, so that together
    they are one large call. A champion that changes in between makes the whole begin again.
    """
    size = max(size, 1)
    for attempt in range(1, STARTS_MAX + 1):
        parts: list[Any] = []
        try:
            # An empty input is sent too: what is wrong with it is the server's to say.
            for start in range(0, max(count, 1), size):
                asked = request(start, min(start + size, count))
                if parts:
                    _follow(asked, parts[0].metadata)
                parts.append((yield CallRequest(method, asked)))
            break
        except VersionError:
            if not parts or attempt == STARTS_MAX:
                raise
    return parts


def message(kind: type[Kind], **fields: Any) -> Kind:
    """A message of the fields that are not None; InputError names one that cannot be sent."""
    built = kind()
    for name, value in fields.items():
        if value is None:
            continue
        try:
            built.MergeFrom(kind(**{name: value}))
        except ValueError as error:
            raise InputError(name, f"cannot be sent: {error}") from None
    return built


def check_list(field: str, values: Sequence[Any]) -> None:
    """InputError for the slip of giving one string, which is a sequence of strings too."""
    if isinstance(values, str):
        raise InputError(field, "must be a list, got one string; put it in brackets")


def number_of(field: str, name: str, numbers: Mapping[str, int]) -> int:
    """The enum number of a name."""
    if name not in numbers:
        raise InputError(field, f"must be one of {', '.join(numbers)}, got {name!r}")
    return numbers[name]


def options_message(options: Options) -> pb.Options:
    """How to write."""
    return message(pb.Options, **options._asdict())


def rows_message(field: str, latents: Latents, start: int, end: int) -> pb.Latents:
    """Rows start to end of (n, latent)."""
    rows = np.asarray(latents.values, dtype=np.float32)
    if rows.ndim != 2:
        raise InputError(field, f"must be an array (n, latent), got the shape {rows.shape}")
    return latents_message(rows[start:end], latents.version)


def endpoint(field: str, point: str | Latents) -> pb.Endpoint:
    """A sentence, or latents of one row, as a point of a path."""
    if isinstance(point, str):
        return message(pb.Endpoint, sentence=point)
    rows = rows_message(f"{field}.latents", point, 0, len(point.values))
    return pb.Endpoint(latents=rows)


def latents_of(parts: Iterable[pb.Latents]) -> Latents:
    """The rows of all parts, which are of one version."""
    parts = list(parts)
    rows = [np.array(part.values, np.float32).reshape(-1, part.columns) for part in parts]
    return Latents(np.concatenate(rows), parts[0].version)


def generated_sentences_of(
    parts: Iterable[Iterable[pb.GeneratedSentence]],
) -> list[GeneratedSentence]:
    """The sentences of all parts."""
    return [
        GeneratedSentence(
            sentence.text,
            sentence.log_prob,
            sentence.tokens,
            sentence.finish_reason == pb.FINISH_REASON_ENDED,
            tuple(generated_sentences_of([sentence.alternatives])),
        )
        for part in parts
        for sentence in part
    ]


def facts_of(parts: Sequence[Any]) -> Facts:
    """How the responses were made: what they share, and the sums of what they do not."""
    facts: list[pb.Metadata] = [part.metadata for part in parts]
    return Facts(
        version=facts[0].version,
        seed=facts[0].seed,
        queue_us=sum(fact.queue_us for fact in facts),
        compute_us=sum(fact.compute_us for fact in facts),
        tokens=sum(fact.tokens for fact in facts),
        batch_rows=max(fact.batch_rows for fact in facts),
    )


def _follow(asked: Any, first: pb.Metadata) -> None:
    """Has a later chunk answered as the first one was."""
    asked.seed = first.seed
    # Latents bring their version with them; the other requests have a field for it.
    if "version" in asked.DESCRIPTOR.fields_by_name:
        asked.version = first.version
