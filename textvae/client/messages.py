"""Messages from values, values from messages, and the chunks of one input."""

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import Message

from textvae.client.results import Axes, Facts, GeneratedSentence, Latents, Lock, Variations
from textvae.errors import InputError, VersionError
from textvae.options import Constraints, Options
from textvae.ranges import check_within
from textvae.v1 import model_pb2
from textvae.v1 import textvae_pb2 as pb
from textvae.wire import latents_message

CHUNK_TOKENS = 16_384
"""Most tokens that the decoder reads or writes for one request of several items: seconds of a core
for a network of default size."""
GENERATED_TOKENS = 16
"""Tokens of a generated sentence, as far as chunks are concerned."""
STARTS_MAX = 3
"""Most starts of an input in chunks, if the champion changes between the chunks of each."""

_ITEM = re.compile(r"(?P<list>\w+)\[(?P<number>\d+)\](?P<rest>.*)")
"""A field that is an item of a list, as in sentences[3]."""
_SENTENCE = re.compile(r"(?P<list>sentences)\[(?P<number>\d+)\](?P<rest>)")
"""A sentence that an error speaks of."""

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
    method: str,
    request: Callable[[int, int], Any],
    count: int,
    size: int,
    costs: Sequence[int] = (),
) -> CallProtocol[list[Any]]:
    """Return the responses to requests for items start to end, at most `size` in each, in order.

    `costs` are the decoder's tokens for each item; several items in one request need at most
    CHUNK_TOKENS, so that a busy machine answers in time too.

    The later requests name version and seed of the first response, so that together they are one
    large call. If the champion changes in between, the input starts again. An error about an item
    has its number in the input, not in the chunk.
    """
    bounds = _bounds(count, max(size, 1), costs)
    for attempt in range(1, STARTS_MAX + 1):
        parts: list[Any] = []
        try:
            for start, end in bounds:
                chunk = request(start, end)
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


def in_chunks_of_rows(
    method: str, request: Callable[[int, int], Any], texts: Sequence[str], rows: int
) -> CallProtocol[list[Any]]:
    """Return the responses of requests for sentences, each of which needs so many rows."""
    limits = (yield LIMITS).limits
    size = min(limits.sentences_max, limits.rows_max // rows)
    costs = [rows * tokens for tokens in token_counts(texts, limits.tokens_max)]
    return (yield from in_chunks(method, request, len(texts), size, costs))


def _bounds(count: int, size: int, costs: Sequence[int]) -> list[tuple[int, int]]:
    """Return start and end of each chunk."""
    bounds, start, cost = list[tuple[int, int]](), 0, 0
    for item in range(count):
        needed = costs[item] if costs else 0
        if item > start and (item - start == size or cost + needed > CHUNK_TOKENS):
            bounds.append((start, item))
            start, cost = item, 0
        cost += needed
    # An empty input is sent too: the server reports what is wrong with it.
    return [*bounds, (start, count)]


def token_counts(sentences: Sequence[str], tokens_max: int) -> list[int]:
    """Return about how many tokens each sentence has, rather more than fewer."""
    return [min(len(sentence.encode()) // 3 + 2, tokens_max) for sentence in sentences]


def _renumbered(error: InputError, start: int) -> InputError:
    """Return the error about an item of a chunk as one about the item of the whole input."""

    def renumbered(item: re.Match[str]) -> str:
        return f"{item['list']}[{start + int(item['number'])}]{item['rest']}"

    problem = _SENTENCE.sub(renumbered, error.problem)
    item = _ITEM.fullmatch(error.field)
    return InputError(renumbered(item) if item else error.field, problem)


def message(kind: type[Kind], **fields: Any) -> Kind:
    """Build a message of the fields that are not None; raise InputError for an invalid one."""
    built = kind()
    for name, value in fields.items():
        if value is None:
            continue
        try:
            built.MergeFrom(kind(**{name: value}))
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(name, f"cannot be sent: {error}") from None
    return built


def list_of(field: str, values: Iterable[Any]) -> list[Any]:
    """Return the items as a list; raise InputError for one string and for what is no collection."""
    if isinstance(values, str | bytes):
        raise InputError(field, "must be a list, got one string; put it in brackets")
    try:
        return list(values)
    except TypeError:
        raise InputError(field, f"must be a list, got {type(values).__name__}") from None


def sentences_of(field: str, values: Iterable[Any]) -> list[str]:
    """Return the sentences as a list; raise InputError naming the first item that is no text."""
    sentences = list_of(field, values)
    for number, sentence in enumerate(sentences):
        check_text(f"{field}[{number}]", sentence)
    return sentences


def check_text(field: str, value: Any) -> None:
    """Raise InputError for what is no string, or one that has no UTF-8 form."""
    if not isinstance(value, str):
        fix = "; decode it" if isinstance(value, bytes) else "; leave it out"
        shown = "bytes" if isinstance(value, bytes) else f"{value!r:.40}"
        raise InputError(field, f"must be a string, got {shown}{fix}")
    try:
        value.isascii() or value.encode("utf-8")
    except UnicodeEncodeError as error:
        problem = f"character {error.start} is a lone surrogate; sentences are Unicode text"
        raise InputError(field, problem) from None


def check_spans(constraints: Constraints, sentences: int) -> None:
    """Raise InputError for a string among lists, and for a span of no sentence of the call."""
    for name in ("words", "patterns", "banned"):
        list_of(f"constraints.{name}", getattr(constraints, name))
    for number, span in enumerate(constraints.spans):
        field = f"constraints.spans[{number}].sentence"
        check_within(field, span.sentence, 0, sentences - 1)


def number_of(field: str, name: str, numbers: Mapping[str, int]) -> int:
    """Return the enum number of a name."""
    if name not in numbers:
        raise InputError(field, f"must be one of {', '.join(numbers)}, got {name!r}")
    return numbers[name]


def name_of(enum: str, number: int) -> str:
    """Return the name of an enum's number as the client says it."""
    kinds = {"METHOD": pb.Method, "PRIOR": pb.Prior}
    return str(kinds[enum].Name(number)).removeprefix(f"{enum}_").lower()  # type: ignore[arg-type]


def options_message(options: Options) -> pb.Options:
    """Build the message of sampling options."""
    return message(pb.Options, **options._asdict())


def rows_message(field: str, latents: Any, start: int, end: int) -> pb.Latents:
    """(n, latent) -> the message of rows start to end."""
    if not isinstance(latents, Latents):
        problem = f"must be Latents(values, version), got {type(latents).__name__}"
        raise InputError(field, f"{problem}; encode gives them as mean and samples")
    try:
        rows = np.asarray(latents.values, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise InputError(field, f"must be an array (n, latent) of numbers: {error}") from None
    if rows.ndim != 2:
        raise InputError(field, f"must be an array (n, latent), got the shape {rows.shape}")
    return latents_message(rows[start:end], latents.version)


def endpoint(field: str, point: str | Latents) -> pb.Endpoint:
    """Build a point of a path from a sentence or from latents of one row."""
    if not isinstance(point, Latents):
        check_text(field, point)
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
            Axes(*(getattr(axes, name) for name in Axes._fields))
            for axes in (each.axes for each in message.variations if each.HasField("axes"))
        ],
        [reason.removeprefix("MISSING_REASON_").lower() for reason in reasons],
        message.source_fluency,
        [
            [Lock(lock.text, lock.start, lock.end) for lock in each.locks]
            for each in message.variations
        ],
    )


def constraints_message(constraints: Constraints, start: int, end: int) -> pb.Constraints:
    """Build the constraints of the sentences from `start` to `end`, numbered from `start`."""
    spans = [
        message(pb.SentenceSpan, **span._replace(sentence=span.sentence - start)._asdict())
        for span in constraints.spans
        if start <= span.sentence < end
    ]
    return message(pb.Constraints, **(constraints._asdict() | {"spans": spans}))


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
