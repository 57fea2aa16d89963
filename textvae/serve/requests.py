"""Messages to the engine's requests.

Presence, versions, widths and enum numbers are checked here, where they exist; every other limit
is the engine's, under the same field names. What a request leaves unset takes the default that
the request in `engine/operations/` declares.
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
from textvae.errors import InputError, VersionError
from textvae.options import Options
from textvae.v1 import textvae_pb2 as pb

SERVER_SEED_BITS = 53
"""Seeds that the server draws stay exact in a JSON number."""

_PRIORS = {pb.PRIOR_UNSPECIFIED: "auto", pb.PRIOR_STANDARD: "standard", pb.PRIOR_FITTED: "fitted"}
_PATHS = {pb.PATH_UNSPECIFIED: "lerp", pb.PATH_LERP: "lerp", pb.PATH_SLERP: "slerp"}

Number = TypeVar("Number", bound=int)


class Space(NamedTuple):
    """The latent space that serves."""

    version: str
    latent: int


def encode(message: pb.EncodeRequest, space: Space) -> EncodeRequest:
    """InputError and VersionError, here and below, name the field."""
    _check_version(message.version, space)
    return EncodeRequest(tuple(message.sentences), samples=message.sample_count, **_place(message))


def decode(message: pb.DecodeRequest, space: Space) -> DecodeRequest:
    """See `encode`."""
    latents = _latents("latents", message.latents, space)
    return DecodeRequest(latents, options=_options(message.options), **_place(message))


def sample(message: pb.SampleRequest, space: Space) -> SampleRequest:
    """See `encode`."""
    _check_version(message.version, space)
    return SampleRequest(
        message.count,
        prior=_choice("prior", message.prior, _PRIORS, pb.Prior.Name),
        options=_options(message.options),
        **_given(message, "scale"),
        **_place(message),
    )


def interpolate(message: pb.InterpolateRequest, space: Space) -> InterpolateRequest:
    """See `encode`."""
    _check_version(message.version, space)
    points = (_point(f"points[{i}]", point, space) for i, point in enumerate(message.points))
    return InterpolateRequest(
        tuple(points),
        message.steps,
        path=_choice("path", message.path, _PATHS, pb.Path.Name),
        options=_options(message.options),
        **_place(message),
    )


def paraphrase(message: pb.ParaphraseRequest, space: Space) -> ParaphraseRequest:
    """See `encode`."""
    _check_version(message.version, space)
    return ParaphraseRequest(
        tuple(message.sentences),
        message.count,
        distinct=message.distinct,
        options=_options(message.options),
        **_given(message, "radius"),
        **_place(message),
    )


def score(message: pb.ScoreRequest, space: Space) -> ScoreRequest:
    """See `encode`."""
    _check_version(message.version, space)
    given = _given(message, "importance_samples")
    return ScoreRequest(tuple(message.sentences), **given, **_place(message))


def _place(message: Any) -> dict[str, int]:
    """Where the request's draws lie: its seed, or one drawn now, and its first item's number."""
    seed = message.seed if message.HasField("seed") else secrets.randbits(SERVER_SEED_BITS)
    return {"seed": seed, "first_index": message.first_index}


def _given(message: Any, *names: str) -> dict[str, Any]:
    """The optional fields among `names` that are set; the engine knows the others' defaults."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _options(message: pb.Options) -> Options:
    """How to write."""
    return Options(
        temperature=message.temperature,
        top_k=message.top_k,
        tokens_max=message.tokens_max,
        min_p=message.min_p,
        no_repeat=message.no_repeat,
        beam=message.beam,
        alternatives=message.alternatives,
        **_given(message, "top_p"),
    )


def _choice(
    field: str, number: Number, names: Mapping[Number, str], name: Callable[[Number], str]
) -> Any:
    """What an enum's number stands for; InputError for a number it does not have."""
    if number in names:
        return names[number]
    known = ", ".join(f"{name(known)} ({known})" for known in names)
    raise InputError(field, f"must be one of {known}, got {number}")


def _check_version(asked: str, space: Space) -> None:
    """VersionError unless the version that was asked for, if any was, is the one that serves."""
    if asked and asked != space.version:
        problem = f"{asked} was asked for but {space.version} serves"
        raise VersionError(
            f"version: {problem}; ask for that one, or leave the field empty for any"
        )


def _latents(field: str, message: pb.Latents, space: Space) -> np.ndarray:
    """(rows, latent) float32, of the version that serves."""
    if not message.version:
        problem = "must name the version that the latents belong to"
        raise InputError(f"{field}.version", f"{problem}; Encode says it, as mean.version")
    if message.version != space.version:
        problem = f"the latents belong to {message.version} but {space.version} serves"
        raise VersionError(f"{field}.version: {problem}; encode the sentences again")
    if message.columns != space.latent:
        problem = f"must be {space.latent}, the width of {space.version}, got {message.columns}"
        raise InputError(f"{field}.columns", f"{problem}; send the latents as Encode gave them")
    if len(message.values) % message.columns:
        problem = f"must be a multiple of {message.columns} values, got {len(message.values)}"
        raise InputError(f"{field}.values", f"{problem}; send whole rows")
    return np.array(message.values, dtype=np.float32).reshape(-1, space.latent)


def _point(field: str, message: pb.Endpoint, space: Space) -> str | np.ndarray:
    """A sentence or one latent, (latent,)."""
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
