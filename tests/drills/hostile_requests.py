"""Requests that no stub writes: made from the descriptors at random, and good ones damaged."""

import random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from textvae.v1 import model_pb2
from textvae.v1 import textvae_pb2 as pb

TEXTS = (
    "", " ", "a", "the cat sees the dog", "\0", "\u202e", "e\u0301" * 30, "{x} 12 EUR", "(", "[a-",
    "\U0001f600" * 9, "a" * 2000, "models/toy/versions/20260101-000000000000", "../../etc/passwd",
)  # fmt: skip
INTEGERS = (0, 1, 1, 2, 2, 3, 63, 64, 65, 1024, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63, 2**64)
FLOATS = (0.0, -0.0, 0.5, 1.0, 1.5, 11.0, -1.0, 1e-300, 1e38, 1e300, float("inf"), float("nan"))
PARTS_MAX = 4
"""Elements of a list that is made at random."""
BITS = {FieldDescriptor.CPPTYPE_UINT32: 32, FieldDescriptor.CPPTYPE_UINT64: 64}
INTEGER_KINDS = (*BITS, FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_ENUM)


def methods() -> dict[str, Descriptor]:
    """The paths of all methods of textvae, and of health, with the messages that they take."""
    files = (pb.DESCRIPTOR, model_pb2.DESCRIPTOR)
    services = [service for file in files for service in file.services_by_name.values()]
    found = {
        f"/{service.full_name}/{method.name}": method.input_type
        for service in services
        for method in service.methods
    }
    return found | {"/grpc.health.v1.Health/Check": model_pb2.GetModelRequest.DESCRIPTOR}


def good_requests(version: str, latent: int) -> dict[str, Message]:
    """A request for each method of TextVaeService that succeeds; what is damaged begins as one."""
    latents = pb.Latents(values=[0.25] * latent, columns=latent, version=version)
    points = [pb.Endpoint(sentence="a cat"), pb.Endpoint(latents=latents)]
    options = pb.Options(tokens_max=8, temperature=1.0, top_k=5)
    requests: dict[str, Message] = {
        "Encode": pb.EncodeRequest(sentences=["a cat", "the dog"], sample_count=1, seed=1),
        "Decode": pb.DecodeRequest(latents=latents, options=options, seed=2),
        "Sample": pb.SampleRequest(count=2, options=options, seed=3),
        "Interpolate": pb.InterpolateRequest(points=points, steps=3, seed=4),
        "Paraphrase": pb.ParaphraseRequest(
            sentences=["the cat sees the dog"], count=2, options=options, seed=5,
            constraints=pb.Constraints(words=["cat"], banned=["bird"], patterns=["d.g"]),
        ),
        "Score": pb.ScoreRequest(sentences=["a cat"], importance_samples=2, seed=6),
    }  # fmt: skip
    return {f"/textvae.v1.TextVaeService/{name}": one for name, one in requests.items()}


def made(kind: Descriptor, chance: random.Random, version: str) -> Message:
    """A message with any of its fields, of values on both sides of every limit."""
    message: Message = GetMessageClass(kind)()
    for field in kind.fields:
        if chance.random() < 0.5:
            continue
        if field.is_repeated:
            parts = [_value(field, chance, version) for _ in range(chance.randint(0, PARTS_MAX))]
            getattr(message, field.name).extend(parts)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(made(field.message_type, chance, version))
        else:
            setattr(message, field.name, _value(field, chance, version))
    return message


def _value(field: FieldDescriptor, chance: random.Random, version: str) -> Any:
    """A value of a field's type."""
    if field.message_type is not None:
        return made(field.message_type, chance, version)
    kind = field.cpp_type
    if kind in INTEGER_KINDS:
        number = chance.choice(INTEGERS)
        bits = BITS.get(kind)
        return number % 2**bits if bits else number % 2**31
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return chance.choice((version, chance.choice(TEXTS)))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    return chance.choice(FLOATS)


def damaged(raw: bytes, other: bytes, chance: random.Random) -> bytes:
    """Bytes with one to four harms: flipped, removed, doubled, spliced, cut, or put in."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw) + 1)
        end = min(at + chance.randint(1, 8), len(raw))
        raw = chance.choice(
            (
                raw[:at] + chance.randbytes(end - at) + raw[end:],
                raw[:at] + raw[end:],
                raw[:end] + raw[at:],
                raw[:at] + other[chance.randrange(len(other) + 1) :],
                raw[:at],
                raw[:at] + chance.randbytes(chance.randint(1, 8)) + raw[at:],
                raw[:at] + raw[at:end] * chance.choice((2, 3, 300)) + raw[end:],
            )
        )
    return raw


class Requests:
    """Requests by number: the same seed makes the same ones."""

    def __init__(self, version: str, latent: int, seed: int) -> None:
        self._version, self._seed = version, seed
        self._methods = list(methods().items())
        good = good_requests(version, latent)
        self._good = {path: one.SerializeToString() for path, one in good.items()}

    def number(self, number: int) -> tuple[str, bytes]:
        """The path and the bytes of one."""
        chance = random.Random(self._seed << 40 | number)
        path, kind = chance.choice(self._methods)
        raw = self._good.get(path, b"")
        if not raw or chance.random() < 0.5:
            raw = made(kind, chance, self._version).SerializeToString()
        if chance.random() < 0.7:
            raw = damaged(raw, chance.choice(list(self._good.values())), chance)
        return path, raw
