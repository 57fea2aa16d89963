"""The counts of a request's repeated fields, read from its bytes before it is parsed.

Two bytes on the wire make a string in memory, and a few KiB of gzip make millions of those. A
message is therefore walked first, field by field and only as far as its limits go: no object is
made of what will be refused.
"""

import functools
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor

from textvae.config.serve import ServeConfig
from textvae.errors import InputError
from textvae.options import LOCKS_MAX
from textvae.serve.status import MalformedError
from textvae.v1 import textvae_pb2 as pb

TINY_BYTES = 1024
"""A message of fewer bytes has no room for more than some hundred elements: not worth a walk."""
_VARINT_BYTES_MAX = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT_BYTES = 4
_WIDTH_MIN = 256


class Bounds(NamedTuple):
    """The most that a message may hold.

    Twice a limit passes: the engine's own check of the exact limit then says the exact number.
    """

    counts: dict[str, int]
    """By full name of a repeated field: its elements, or the values of a field of floats."""
    fields: int
    """Fields of the message and all that is in it, but for the values of fields of floats."""


def bounds_of(config: ServeConfig, latent: int) -> Bounds:
    """Return the bounds that the server's settings and the width of a latent set.

    The width may be that of the version that served before: both may answer, so it counts as
    `_WIDTH_MIN` at least.
    """
    counts = {
        "textvae.v1.EncodeRequest.sentences": config.sentences_max,
        "textvae.v1.ParaphraseRequest.sentences": config.sentences_max,
        "textvae.v1.ScoreRequest.sentences": config.sentences_max,
        "textvae.v1.InterpolateRequest.points": config.steps_max,
        "textvae.v1.Latents.values": config.sentences_max * max(latent, _WIDTH_MIN),
        **{
            f"textvae.v1.Constraints.{name}": LOCKS_MAX
            for name in ("words", "spans", "patterns", "banned")
        },
    }
    # A point has up to five fields with its own, a span four.
    fields = config.sentences_max + 5 * config.steps_max + 7 * LOCKS_MAX
    return Bounds(counts, 2 * fields + 1000)


def check_counts(raw: bytes, message: Descriptor, bounds: Bounds) -> None:
    """Raise InputError naming the first field over its bound, MalformedError for no message.

    Takes time by the bounds and not by the bytes: it ends where a bound is reached.
    """
    try:
        _Walk(raw, bounds).walk(0, len(raw), message, "")
    except IndexError:
        raise MalformedError.of_message() from None


class _Field(NamedTuple):
    """What the walk needs to know of a field of a message."""

    name: str
    full_name: str
    is_repeated: bool
    is_float: bool
    message: Descriptor | None


@functools.cache
def _fields_of(message: Any) -> dict[int, _Field]:
    """Return the fields of a message by number."""
    return {
        field.number: _Field(
            field.name,
            field.full_name,
            field.is_repeated,
            field.type == field.TYPE_FLOAT,
            field.message_type,
        )
        for field in message.fields
    }


class _Walk:
    """A walk over one message and the messages in it."""

    def __init__(self, raw: bytes, bounds: Bounds) -> None:
        self._raw = raw
        self._bounds = bounds
        self._fields_left = bounds.fields
        # By path, for a message that is sent in parts is one message.
        self._counts: dict[str, dict[int, int]] = {}

    def walk(self, at: int, end: int, message: Descriptor, path: str) -> None:
        """Walk the bytes from `at` to `end`, which are a message at `path`."""
        raw, fields = self._raw, _fields_of(message)
        counts = self._counts.setdefault(path, {})
        while at < end:
            tag = raw[at]
            at += 1
            if tag > 0x7F:
                tag, at = self._varint(at - 1)
            kind, size = tag & 7, 0
            if kind == _BYTES:
                size, at = self._varint(at)
            elif kind == _FIXED32:
                size = 4
            elif kind == _FIXED64:
                size = 8
            elif kind == _VARINT:
                at = self._varint(at)[1]
            else:  # a group, which no message of ours has
                raise MalformedError.of_message()
            body, at = at, at + size
            if at > end:
                raise MalformedError.of_message()
            number = tag >> 3
            field = fields.get(number)
            if field is None or not (field.is_repeated and field.is_float):
                self._fields_left -= 1
                if self._fields_left < 0:
                    most = self._bounds.fields
                    problem = f"must have at most {most} fields in all, has more"
                    raise InputError("request", f"{problem}; send the fields of the proto")
            if field is None:
                continue
            if field.is_repeated:
                more = size // _FLOAT_BYTES if field.is_float else 1
                counts[number] = counts.get(number, 0) + more
                self._check(field, counts[number], path)
            if field.message is not None and kind == _BYTES:
                index = f"[{counts[number] - 1}]" if field.is_repeated else ""
                self.walk(body, at, field.message, f"{path}{field.name}{index}.")

    def _check(self, field: _Field, count: int, path: str) -> None:
        """Raise InputError where there are more than twice as many as the field's limit."""
        limit = self._bounds.counts.get(field.full_name, 0)
        if count > 2 * limit:
            noun = " values" if field.is_float else ""
            problem = f"must be at most {limit}{noun}, got more than {2 * limit}"
            raise InputError(f"{path}{field.name}", f"{problem}; send fewer in one call")

    def _varint(self, at: int) -> tuple[int, int]:
        """Return the number at `at` and where the next one begins."""
        raw, number, shift = self._raw, 0, 0
        for place in range(at, at + _VARINT_BYTES_MAX):
            byte = raw[place]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, place + 1
            shift += 7
        raise MalformedError.of_message()


def request_types() -> dict[str, Descriptor]:
    """Return the message of each method whose request has repeated fields, by its path."""
    service = pb.DESCRIPTOR.services_by_name["TextVaeService"]
    return {f"/{service.full_name}/{one.name}": one.input_type for one in service.methods}
