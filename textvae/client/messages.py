"""Messages from values, values from messages, and the chunks of one input."""

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import Message

from textvae.client.results import Axes, Facts, GeneratedSentence, Latents, Variations
from textvae.errors import InputError, VersionError
from textvae.options import Options
from textvae.v1 import model_pb2
from textvae.v1 import textvae_pb2 as pb
from textvae.wire import latents_message

STARTS_MAX = 3
"""Most starts of an input in chunks, if the champion changes between the chunks of each."""

_ITEM = re.compile(r"(?P<list>\w+)\[(?P<number>\d+)\](?P<rest>.*)")
"""A field that is an item of a list, as in sentences[3]."""

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=Message)


class CallRequest(NamedTuple):
    """A request to send, with its method."""

    method: str
    request: Any


CallProtocol = Generator[CallRequest, Any, Result]
"""A generator that yields requests, is sent their responses, and returns a result."""

LIMITS = CallRequest("GetServerInfo", model_pb2.GetServerInfoRequest())
"""The request for the server's limits; a client sends it once and caches the response."""


def in_chunks(
    method: str, request: Callable[[int, int], Any], count: int, size: int
) -> CallProtocol[list[Any]]:
    """Return the responses to requests for items start to end, at most `size` in each, in order.

    The later requests name version and seed of the first response, so that together they are one
    large call. If the champion changes in between, the input starts again. An error about an item
    has its number in the input, not in the chunk.
    """
    size = max(size, 1)
    for attempt in range(1, STARTS_MAX + 1):
        parts: list[Any] = []
        try:
            # An empty input is sent too: the server reports what is wrong with it.
            for start in range(0, max(count, 1), size):
                chunk = request(start, min(start + size, count))
                if parts:
                    pin(chunk, parts[0].metadata)
                try:
                    parts.append((yield CallRequest(method, chunk)))
                except InputError as error:
                    raise _renumbered(error, start) from error
            break
        except VersionError:
            if not parts or attempt == STARTS_MAX:
                raise
    return parts


def _renumbered(error: InputError, start: int) -> InputError:
    """Return the error about an item of a chunk as one about the item of the whole input."""
    item = _ITEM.fullmatch(error.field)
    if item is None:
        return error
    return InputError(f"{item['list']}[{start + int(item['number'])}]{item['rest']}", error.problem)


def message(kind: type[Kind], **fields: Any) -> Kind:
    """Build a message of the fields that are not None; raise InputError for an invalid one."""
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
    """Raise InputError for one string, which is a sequence of strings too."""
    if isinstance(values, str):
        raise InputError(field, "must be a list, got one string; put it in brackets")


def number_of(field: str, name: str, numbers: Mapping[str, int]) -> int:
    """Return the enum number of a name."""
    if name not in numbers:
        raise InputError(field, f"must be one of {', '.join(numbers)}, got {name!r}")
    return numbers[name]


def options_message(options: Options) -> pb.Options:
    """Build the message of sampling options."""
    return message(pb.Options, **options._asdict())


def rows_message(field: str, latents: Latents, start: int, end: int) -> pb.Latents:
    """(n, latent) -> the message of rows start to end."""
    rows = np.asarray(latents.values, dtype=np.float32)
    if rows.ndim != 2:
        raise InputError(field, f"must be an array (n, latent), got the shape {rows.shape}")
    return latents_message(rows[start:end], latents.version)


def endpoint(field: str, point: str | Latents) -> pb.Endpoint:
    """Build a point of a path from a sentence or from latents of one row."""
    if isinstance(point, str):
        return message(pb.Endpoint, sentence=point)
    rows = rows_message(f"{field}.latents", point, 0, len(point.values))
    return pb.Endpoint(latents=rows)


def latents_of(parts: Iterable[pb.Latents]) -> Latents:
    """Return the rows of all parts, which are of one version."""
    parts = list(parts)
    rows = [np.array(part.values, np.float32).reshape(-1, part.columns) for part in parts]
    return Latents(np.concatenate(rows), parts[0].version)


def generated_sentences_of(
    parts: Iterable[Iterable[pb.GeneratedSentence]],
) -> list[GeneratedSentence]:
    """Return the sentences of all parts."""
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


def variations_of(message: pb.Variations) -> Variations:
    """Return the variations of a sentence, and why some of them are missing."""
    reasons = map(pb.MissingReason.Name, message.missing)
    return Variations(
        generated_sentences_of([[each.sentence for each in message.variations]]),
        [each.distance for each in message.variations],
        latents_of([message.latents]),
        [
            Axes(axes.adequacy, axes.fluency, axes.new_words, axes.new_bigrams)
            for axes in (each.axes for each in message.variations if each.HasField("axes"))
        ],
        [reason.removeprefix("MISSING_REASON_").lower() for reason in reasons],
        message.source_fluency,
    )


def facts_of(parts: Sequence[Any]) -> Facts:
    """Return the facts of the responses: what they share, and the sums of their costs."""
    facts: list[pb.Metadata] = [part.metadata for part in parts]
    return Facts(
        version=facts[0].version,
        seed=facts[0].seed,
        queue_us=sum(fact.queue_us for fact in facts),
        compute_us=sum(fact.compute_us for fact in facts),
        tokens=sum(fact.tokens for fact in facts),
        batch_rows=max(fact.batch_rows for fact in facts),
    )


def pin(request: Any, metadata: pb.Metadata) -> None:
    """Set seed and version of a request to those of a response, to be answered the same way."""
    request.seed = metadata.seed
    # Latents bring their version with them; the other requests have a field for it.
    if "version" in request.DESCRIPTOR.fields_by_name:
        request.version = metadata.version
