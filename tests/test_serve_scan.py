"""What a message may hold is counted in its bytes, before any of it is parsed."""

import random
import time

import pytest
from google.protobuf.message import DecodeError, Message

from textvae.config.serve import ServeConfig
from textvae.errors import InputError
from textvae.serve.scan import bounds_of, check_counts
from textvae.serve.status import MalformedError
from textvae.v1 import textvae_pb2 as pb

CONFIG = ServeConfig(sentences_max=20, steps_max=5)
VALUES = "textvae.v1.Latents.values"
SET = bounds_of(CONFIG, 300)
BOUNDS = SET._replace(counts=SET.counts | {VALUES: 80})


def check(message: type[Message], raw: bytes) -> None:
    """Count what is in the bytes of a message of this type."""
    check_counts(raw, message.DESCRIPTOR, BOUNDS)


def values(count: int, *, packed: bool) -> bytes:
    """Latents of so many values, in one piece or in one piece each."""
    if packed:
        return pb.Latents(values=[0.5] * count).SerializeToString()
    return b"\x0d\0\0\0\x3f" * count


def field(number: int, raw: bytes) -> bytes:
    """A field of bytes."""
    size, head = len(raw), b""
    while size > 0x7F:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + head + bytes([size]) + raw


@pytest.mark.parametrize(
    ("message", "one", "limit", "name"),
    [
        (pb.EncodeRequest, b"\x0a\x00", 20, "sentences"),
        (pb.ScoreRequest, b"\x0a\x01a", 20, "sentences"),
        (pb.ParaphraseRequest, b"\x0a\x00", 20, "sentences"),
        (pb.InterpolateRequest, b"\x0a\x00", 5, "points"),
        (pb.ParaphraseRequest, field(15, b"\x0a\x00"), 100, "constraints.words"),
        (pb.ParaphraseRequest, field(15, b"\x12\x00"), 100, "constraints.spans"),
        (pb.ParaphraseRequest, field(15, b"\x1a\x00"), 100, "constraints.patterns"),
        (pb.ParaphraseRequest, field(15, b"\x3a\x00"), 100, "constraints.banned"),
        (pb.DecodeRequest, field(1, values(1, packed=False)), 80, "latents.values"),
        (pb.DecodeRequest, field(1, values(1, packed=True)), 80, "latents.values"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_twice_a_limit_is_walked_and_more_is_refused_by_its_name(
    message: type[Message], one: bytes, limit: int, name: str
) -> None:
    check(message, one * (2 * limit))
    with pytest.raises(InputError) as refused:
        check(message, one * (2 * limit + 1))
    noun = " values" if name.endswith("values") else ""
    assert refused.value.field == name
    assert refused.value.problem == (
        f"must be at most {limit}{noun}, got more than {2 * limit}; send fewer in one call"
    )


def test_latents_of_the_version_before_may_be_wider_than_those_of_the_one_that_serves() -> None:
    assert SET.counts[VALUES] == 20 * 300
    assert bounds_of(CONFIG, 16).counts[VALUES] == 20 * 256


def test_a_point_that_is_too_wide_is_named_by_its_number() -> None:
    good, bad = (field(1, field(2, values(count, packed=True))) for count in (4, 161))
    with pytest.raises(InputError, match=r"^points\[2\]\.latents\.values: must be at most 80"):
        check(pb.InterpolateRequest, good + good + bad)


def test_latents_in_one_message_and_value_by_value_count_as_many() -> None:
    check(pb.DecodeRequest, field(1, values(160, packed=True)))
    check(pb.DecodeRequest, field(1, values(160, packed=False)))
    for packed in (True, False):
        with pytest.raises(InputError, match=r"^latents\.values: "):
            check(pb.DecodeRequest, field(1, values(161, packed=packed)))


@pytest.mark.parametrize(
    "one", [b"\x20\x01", b"\xf8\x01\x01", b"\xfa\x01\x00", field(1, b"\x18\0")]
)
def test_fields_without_number_are_refused_though_none_of_them_is_a_list(one: bytes) -> None:
    message = pb.DecodeRequest if one[0] == 10 else pb.EncodeRequest
    with pytest.raises(InputError, match=f"^request: must have at most {BOUNDS.fields} fields"):
        check(message, one * (BOUNDS.fields + 1))


@pytest.mark.parametrize(
    "raw", [b"\x0b\x0c", b"\x0f", b"\x80" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x0d\0\0", b"\x09"]
)
def test_what_cannot_be_walked_is_no_message(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        check_counts(raw, pb.EncodeRequest.DESCRIPTOR, BOUNDS)


def repeats(message: Message) -> list[int]:
    """The lengths of the lists of a message and of all in it."""
    found = []
    for descriptor, value in message.ListFields():
        parts = value if descriptor.is_repeated else [value]
        if descriptor.is_repeated:
            limit = BOUNDS.counts.get(descriptor.full_name, 0)
            found.append(len(value) - 2 * limit)
        if descriptor.message_type is not None:
            found += [length for part in parts for length in repeats(part)]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_whatever_passes_the_walk_parses_to_no_more_than_twice_its_limits(seed: int) -> None:
    chance, passed, refused = random.Random(seed), 0, 0
    kinds = (pb.EncodeRequest, pb.DecodeRequest, pb.InterpolateRequest, pb.ParaphraseRequest)
    for _ in range(1500):
        kind, raw = chance.choice(kinds), b""
        for _ in range(chance.randint(1, 30)):
            piece = b"".join(
                field(chance.randint(1, 16), chance.randbytes(chance.randint(0, 12)))
                if chance.random() < 0.6
                else values(chance.randint(0, 9), packed=chance.random() < 0.5)
                for _ in range(chance.randint(0, 5))
            )
            raw += field(chance.choice((1, 1, 2, 15)), piece) * chance.randint(1, 9)
        if chance.random() < 0.3:
            place = chance.randrange(len(raw))
            raw = raw[:place] + chance.randbytes(1) + raw[place + 1 :]
        try:
            check_counts(raw, kind.DESCRIPTOR, BOUNDS)
            message = kind.FromString(raw)
        except (InputError, MalformedError, DecodeError):
            refused += 1
            continue
        passed += 1
        assert max(repeats(message), default=0) <= 0
    assert passed > 50
    assert refused > 50


@pytest.mark.parametrize("one", [b"\x0a\x00", b"\x20\x01", b"\x0a\x02\x0a\x00"])
def test_eight_mebibytes_of_small_fields_take_no_longer_than_the_limits(one: bytes) -> None:
    raw = one * (8 * 1024 * 1024 // len(one))
    bounds = bounds_of(ServeConfig(), 64)
    began = time.process_time()
    for kind in (pb.EncodeRequest, pb.InterpolateRequest, pb.ScoreRequest):
        with pytest.raises(InputError):
            check_counts(raw, kind.DESCRIPTOR, bounds)
    assert time.process_time() - began < 0.5
