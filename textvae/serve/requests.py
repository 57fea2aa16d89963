"""Messages to the engine's requests.

Presence, versions, widths and enum numbers exist in messages only and are checked here; the engine
checks every other limit, under the same field names. An unset field has the default of the request
in `engine/operations/`.
"""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.operations.interpolate import InterpolateRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.operations.score import ScoreRequest
from textvae.errors import InputError, VersionError, quoted
from textvae.options import Constraints, Options, SentenceSpan
from textvae.v1 import textvae_pb2 as pb

SERVER_SEED_BITS = 53
"""Bits of a seed that the server draws; it stays exact as a JSON number."""

_PRIORS = {pb.PRIOR_UNSPECIFIED: "auto", pb.PRIOR_STANDARD: "standard", pb.PRIOR_FITTED: "fitted"}
_METHODS = {
    pb.METHOD_UNSPECIFIED: "auto",
    pb.METHOD_REPHRASE: "rephrase",
    pb.METHOD_DRAW: "draw",
    pb.METHOD_SEARCH: "search",
}
_PATHS = {pb.PATH_UNSPECIFIED: "lerp", pb.PATH_LERP: "lerp", pb.PATH_SLERP: "slerp"}

Number = TypeVar("Number", bound=int)


class Space(NamedTuple):
    """The latent space of the version that serves."""

    version: str
    latent: int


def encode(message: pb.EncodeRequest, space: Space) -> EncodeRequest:
    """Read an EncodeRequest; InputError and VersionError, here and below, name the field."""
    _check_version(message.version, space)
    return EncodeRequest(
        tuple(message.sentences), samples=message.sample_count, **_address(message)
    )


def decode(message: pb.DecodeRequest, space: Space) -> DecodeRequest:
    """Read a DecodeRequest; see `encode`."""
    latents = _latents("latents", message.latents, space)
    return DecodeRequest(latents, options=_options(message.options), **_address(message))


def sample(message: pb.SampleRequest, space: Space) -> SampleRequest:
    """Read a SampleRequest; see `encode`."""
    _check_version(message.version, space)
    return SampleRequest(
        message.count,
        prior=_choice("prior", message.prior, _PRIORS, pb.Prior.Name),
        options=_options(message.options),
        **_fields(message, "scale"),
        **_address(message),
    )


def interpolate(message: pb.InterpolateRequest, space: Space) -> InterpolateRequest:
    """Read an InterpolateRequest; see `encode`."""
    _check_version(message.version, space)
    points = (_point(f"points[{i}]", point, space) for i, point in enumerate(message.points))
    return InterpolateRequest(
        tuple(points),
        message.steps,
        path=_choice("path", message.path, _PATHS, pb.Path.Name),
        options=_options(message.options),
        **_address(message),
    )


def paraphrase(message: pb.ParaphraseRequest, space: Space) -> ParaphraseRequest:
    """Read a ParaphraseRequest; see `encode`."""
    _check_version(message.version, space)
    return ParaphraseRequest(
        tuple(message.sentences),
        message.count,
        distinct=message.distinct,
        options=_options(message.options),
        method=_choice("method", message.method, _METHODS, pb.Method.Name),
        candidates=message.candidates,
        adequacy_min=message.adequacy_min,
        novelty_min=message.novelty_min,
        constraints=_constraints(message.constraints),
        search_steps=message.search_steps,
        **_fields(message, "radius", "closeness", "fluency_max"),
        **_address(message),
    )


def score(message: pb.ScoreRequest, space: Space) -> ScoreRequest:
    """Read a ScoreRequest; see `encode`."""
    _check_version(message.version, space)
    samples = _fields(message, "importance_samples")
    return ScoreRequest(tuple(message.sentences), **samples, **_address(message))


def _address(message: Any) -> dict[str, int]:
    """Return the address of the random numbers: the seed, or a new one, and the first index."""
    seed = message.seed if message.HasField("seed") else secrets.randbits(SERVER_SEED_BITS)
    return {"seed": seed, "first_index": message.first_index}


def _fields(message: Any, *names: str) -> dict[str, Any]:
    """Return the named fields, without the optional ones that are unset."""
    fields = message.DESCRIPTOR.fields_by_name
    return {
        name: getattr(message, name)
        for name in names
        if not fields[name].has_presence or message.HasField(name)
    }


def _options(message: pb.Options) -> Options:
    """Read the sampling options: the message has every field of `Options` by the same name."""
    return Options(**_fields(message, *Options._fields))


def _constraints(message: pb.Constraints) -> Constraints:
    """Read the constraints: the message has every field of `Constraints` by the same name."""
    spans = (SentenceSpan(span.sentence, span.start, span.end) for span in message.spans)
    fields = _fields(message, *Constraints._fields)
    lists = {name: tuple(fields[name]) for name in ("words", "patterns", "banned")}
    return Constraints(**(fields | lists | {"spans": tuple(spans)}))


def _choice(
    field: str, number: Number, names: Mapping[Number, str], name: Callable[[Number], str]
) -> Any:
    """Return the name of an enum's number; raise InputError for a number it does not have."""
    if number in names:
        return names[number]
    known = ", ".join(f"{name(known)} ({known})" for known in names)
    raise InputError(field, f"must be one of {known}, got {number}")


def _check_version(version: str, space: Space) -> None:
    """Raise VersionError where a request names another version than the one that serves."""
    if version and version != space.version:
        problem = f"{quoted(version)} was asked for but {space.version} serves"
        raise VersionError(
            f"version: {problem}; ask for that one, or leave the field empty for any"
        )


def _latents(field: str, message: pb.Latents, space: Space) -> np.ndarray:
    """Return the latents, (rows, latent) float32, of the version that serves."""
    if not message.version:
        problem = "must name the version that the latents belong to"
        raise InputError(f"{field}.version", f"{problem}; Encode says it, as mean.version")
    if message.version != space.version:
        problem = f"the latents belong to {quoted(message.version)} but {space.version} serves"
        raise VersionError(f"{field}.version: {problem}; encode the sentences again")
    if message.columns != space.latent:
        problem = f"must be {space.latent}, the width of {space.version}, got {message.columns}"
        raise InputError(f"{field}.columns", f"{problem}; send the latents as Encode gave them")
    if len(message.values) % message.columns:
        problem = f"must be a multiple of {message.columns} values, got {len(message.values)}"
        raise InputError(f"{field}.values", f"{problem}; send whole rows")
    return np.array(message.values, dtype=np.float32).reshape(-1, space.latent)


def _point(field: str, message: pb.Endpoint, space: Space) -> str | np.ndarray:
    """Return a sentence or one latent, (latent,)."""
    match message.WhichOneof("point"):
        case "sentence":
            return message.sentence
        case "latents":
            latents = _latents(f"{field}.latents", message.latents, space)
            if len(latents) != 1:
                problem = f"must be exactly 1 row, got {len(latents)}"
                raise InputError(f"{field}.latents", f"{problem}; one endpoint a row")
            row: np.ndarray = latents[0]
            return row
    raise InputError(field, "must be a sentence or latents, got neither; set one of them")
