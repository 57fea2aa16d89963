"""Bad requests, and the status and message that each must meet."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message

from textvae.v1 import model_pb2
from textvae.v1 import textvae_pb2 as pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MISMATCH = grpc.StatusCode.FAILED_PRECONDITION
EMPTY = "must not be empty; send at least one character that is not a space"
FINITE = "values must be finite, got NaN or infinity; encode again"
OTHER = "20200101-0123456789ab"


class Good(NamedTuple):
    """What a good request needs to know, so that a bad one is bad in one place only."""

    version: str
    latent: int

    def latents(self, *values: float, rows: int = 1, version: str | None = None) -> pb.Latents:
        """Zeros but for the first `values`."""
        floats = [*values, *[0.0] * (rows * self.latent - len(values))]
        version = self.version if version is None else version
        return pb.Latents(values=floats, columns=self.latent, version=version)


class Bad(NamedTuple):
    """A request and the refusal that it must meet."""

    request: Callable[[Good], Message]
    message: str
    """With {version} and {latent} of the version that serves."""
    code: grpc.StatusCode = INVALID


def path(*points: Any, **fields: Any) -> pb.InterpolateRequest:
    """A path of five steps through sentences and latents."""
    ends = [
        pb.Endpoint(sentence=point) if isinstance(point, str) else pb.Endpoint(latents=point)
        for point in points
    ]
    return pb.InterpolateRequest(**{"points": ends, "steps": 5, **fields})


def sample(**options: float) -> pb.SampleRequest:
    """One draw with options."""
    return pb.SampleRequest(count=1, options=pb.Options(**options))


def vary(**fields: Any) -> pb.ParaphraseRequest:
    """Variations of a sentence."""
    return pb.ParaphraseRequest(**{"sentences": ["a"], "count": 1, **fields})


def encode(*sentences: str, **fields: Any) -> pb.EncodeRequest:
    """Sentences to encode."""
    return pb.EncodeRequest(sentences=sentences, **fields)


BAD = {
    "no sentence": Bad(lambda _: encode(), "sentences: must be 1 to 1024 sentences, got 0"),
    "too many sentences": Bad(
        lambda _: encode(*["a"] * 1025), "sentences: must be 1 to 1024 sentences, got 1025"
    ),
    "an empty sentence": Bad(lambda _: encode("a", ""), f"sentences[1]: {EMPTY}"),
    "a sentence of spaces": Bad(lambda _: encode(" \t "), f"sentences[0]: {EMPTY}"),
    "a sentence of nothing to write": Bad(
        lambda _: encode("\x07\x00"),
        "sentences[0]: holds control characters only; send text that can be read",
    ),
    "a sentence over the limit": Bad(
        lambda _: encode("a" * 1001),
        "sentences[0]: must be at most 1000 characters, got 1001; shorten or split it",
    ),
    "an empty sentence to vary": Bad(
        lambda _: pb.ParaphraseRequest(sentences=[""], count=1), f"sentences[0]: {EMPTY}"
    ),
    "an empty sentence to score": Bad(
        lambda _: pb.ScoreRequest(sentences=[""]), f"sentences[0]: {EMPTY}"
    ),
    "too many samples": Bad(
        lambda _: encode("a", sample_count=1025), "sample_count: must be 0 to 1024, got 1025"
    ),
    "a first index beyond the counter": Bad(
        lambda _: encode("a", first_index=2**63),
        f"first_index: must be 0 to {2**63 - 1}, got {2**63}",
    ),
    "another version": Bad(
        lambda _: encode("a", version=OTHER),
        f"version: {OTHER} was asked for but {{version}} serves; "
        "ask for that one, or leave the field empty for any",
        MISMATCH,
    ),
    "no latents": Bad(
        lambda good: pb.DecodeRequest(latents=good.latents(rows=0)),
        "latents: must be 1 to 1024 rows, got 0",
    ),
    "too many latents": Bad(
        lambda good: pb.DecodeRequest(latents=good.latents(rows=1025)),
        "latents: must be 1 to 1024 rows, got 1025",
    ),
    "NaN in a latent": Bad(
        lambda good: pb.DecodeRequest(latents=good.latents(math.nan)), f"latents[0]: {FINITE}"
    ),
    "infinity in a latent": Bad(
        lambda good: pb.DecodeRequest(latents=good.latents(math.inf)), f"latents[0]: {FINITE}"
    ),
    "latents of the wrong width": Bad(
        lambda good: pb.DecodeRequest(
            latents=pb.Latents(values=[0, 0, 0], columns=3, version=good.version)
        ),
        "latents.columns: must be {latent}, the width of {version}, got 3; "
        "send the latents as Encode gave them",
    ),
    "latents without a width": Bad(
        lambda good: pb.DecodeRequest(latents=pb.Latents(values=[0], version=good.version)),
        "latents.columns: must be {latent}, the width of {version}, got 0; "
        "send the latents as Encode gave them",
    ),
    "a torn row": Bad(
        lambda good: pb.DecodeRequest(
            latents=pb.Latents(values=[0], columns=good.latent, version=good.version)
        ),
        "latents.values: must be a multiple of {latent} values, got 1; send whole rows",
    ),
    "latents without a version": Bad(
        lambda good: pb.DecodeRequest(latents=good.latents(version="")),
        "latents.version: must name the version that the latents belong to; "
        "Encode says it, as mean.version",
    ),
    "latents of another version": Bad(
        lambda good: pb.DecodeRequest(latents=good.latents(version=OTHER)),
        f"latents.version: the latents belong to {OTHER} but {{version}} serves; "
        "encode the sentences again",
        MISMATCH,
    ),
    "no count": Bad(lambda _: pb.SampleRequest(), "count: must be 1 to 1024, got 0"),
    "a count over the limit": Bad(
        lambda _: pb.SampleRequest(count=1025), "count: must be 1 to 1024, got 1025"
    ),
    "an unknown prior": Bad(
        lambda _: pb.SampleRequest(count=1, prior=7),
        "prior: must be one of PRIOR_UNSPECIFIED (0), PRIOR_STANDARD (1), PRIOR_FITTED (2), got 7",
    ),
    "a negative scale": Bad(
        lambda _: pb.SampleRequest(count=1, scale=-1), "scale: must be 0.0 to 10.0, got -1.0"
    ),
    "a scale that is no number": Bad(
        lambda _: pb.SampleRequest(count=1, scale=math.nan), "scale: must be 0.0 to 10.0, got nan"
    ),
    "a negative temperature": Bad(
        lambda _: sample(temperature=-0.5), "temperature: must be 0.0 to 10.0, got -0.5"
    ),
    "too high a temperature": Bad(
        lambda _: sample(temperature=11), "temperature: must be 0.0 to 10.0, got 11.0"
    ),
    "a temperature that is no number": Bad(
        lambda _: sample(temperature=math.nan), "temperature: must be 0.0 to 10.0, got nan"
    ),
    "no probability": Bad(
        lambda _: sample(top_p=0), "top_p: must be above 0 and at most 1, got 0.0"
    ),
    "too much probability": Bad(
        lambda _: sample(top_p=1.5), "top_p: must be above 0 and at most 1, got 1.5"
    ),
    "more than the likeliest": Bad(
        lambda _: sample(min_p=1.5), "min_p: must be 0.0 to 1.0, got 1.5"
    ),
    "too long a run": Bad(lambda _: sample(no_repeat=129), "no_repeat: must be 0 to 128, got 129"),
    "too wide a beam": Bad(lambda _: sample(beam=9), "beam: must be 0 to 8, got 9"),
    "a beam that draws": Bad(
        lambda _: sample(beam=2, temperature=1),
        "beam: must be 0 with a temperature; a beam does not draw",
    ),
    "alternatives without a beam": Bad(
        lambda _: sample(alternatives=1), "alternatives: must be 0 to 0, got 1"
    ),
    "too many tokens": Bad(
        lambda _: sample(tokens_max=129), "tokens_max: must be 0 to 128, got 129"
    ),
    "no steps": Bad(lambda _: path("a", "b", steps=0), "steps: must be 2 to 64, got 0"),
    "too many steps": Bad(lambda _: path("a", "b", steps=65), "steps: must be 2 to 64, got 65"),
    "fewer steps than points": Bad(
        lambda _: path("a", "b", "c", steps=2), "steps: must be 3 to 64, got 2"
    ),
    "one point": Bad(lambda _: path("a"), "points: must be 2 to 64 points, got 1"),
    "an empty point": Bad(lambda _: path("a", ""), f"points[1].sentence: {EMPTY}"),
    "a point that is nothing": Bad(
        lambda _: path("a", points=[pb.Endpoint(), pb.Endpoint()]),
        "points[0]: must be a sentence or latents, got neither; set one of them",
    ),
    "a point of two rows": Bad(
        lambda good: path("a", good.latents(rows=2)),
        "points[1].latents: must be exactly 1 row, got 2; one endpoint a row",
    ),
    "NaN in a point": Bad(
        lambda good: path("a", good.latents(math.nan)), f"points[1].latents: {FINITE}"
    ),
    "a point of another version": Bad(
        lambda good: path("a", good.latents(version=OTHER)),
        f"points[1].latents.version: the latents belong to {OTHER} but {{version}} serves; "
        "encode the sentences again",
        MISMATCH,
    ),
    "an unknown path": Bad(
        lambda _: path("a", "b", path=9),
        "path: must be one of PATH_UNSPECIFIED (0), PATH_LERP (1), PATH_SLERP (2), got 9",
    ),
    "no variations": Bad(
        lambda _: pb.ParaphraseRequest(sentences=["a"]), "count: must be 1 to 1024, got 0"
    ),
    "variations over the limit": Bad(
        lambda _: pb.ParaphraseRequest(sentences=["a"] * 9, count=1000),
        "count: times the number of sentences must be at most 8192, got 9000; "
        "send fewer sentences a call",
    ),
    "too wide a radius": Bad(
        lambda _: pb.ParaphraseRequest(sentences=["a"], count=1, radius=11),
        "radius: must be 0.0 to 10.0, got 11.0",
    ),
    "an unknown method": Bad(
        lambda _: vary(method=7),
        "method: must be one of METHOD_UNSPECIFIED (0), METHOD_REPHRASE (1), METHOD_DRAW (2), "
        "METHOD_SEARCH (3), got 7",
    ),
    "steps without a search": Bad(
        lambda _: vary(method=pb.METHOD_DRAW, search_steps=2),
        "search_steps: must be 0 without method search, got 2; leave it unset",
    ),
    "to rephrase without siblings": Bad(
        lambda _: vary(method=pb.METHOD_REPHRASE),
        "method: must be draw, for this version learned from no groups of sentences that say the "
        "same; train with training.sibling_share, and data.group_column or data.label_is_group, "
        "for rephrase",
    ),
    "too many candidates": Bad(
        lambda _: vary(candidates=65), "candidates: must be 0 to 64, got 65"
    ),
    "candidates over the limit": Bad(
        lambda _: vary(count=1000, candidates=9),
        "count: times the number of sentences and 9 candidates must be at most 8192, got 9000; "
        "send fewer sentences a call or ask for fewer candidates",
    ),
    "too close": Bad(lambda _: vary(closeness=1.5), "closeness: must be 0.0 to 1.0, got 1.5"),
    "a closeness that is no number": Bad(
        lambda _: vary(closeness=math.nan), "closeness: must be 0.0 to 1.0, got nan"
    ),
    "a negative adequacy": Bad(
        lambda _: vary(adequacy_min=-1), "adequacy_min: must be 0.0 to 1000.0, got -1.0"
    ),
    "an infinite adequacy": Bad(
        lambda _: vary(adequacy_min=math.inf), "adequacy_min: must be 0.0 to 1000.0, got inf"
    ),
    "no fluency": Bad(
        lambda _: vary(fluency_max=0),
        "fluency_max: must be above 0 and at most 1000.0, got 0.0; leave it unset for any",
    ),
    "too much novelty": Bad(
        lambda _: vary(novelty_min=1.1), "novelty_min: must be 0.0 to 1.0, got 1.1"
    ),
    "an adequacy of what is not judged": Bad(
        lambda _: vary(candidates=1, adequacy_min=0.5),
        "adequacy_min: needs candidates that are judged; ask for 2 candidates or more, "
        "or leave it unset",
    ),
    "no importance samples": Bad(
        lambda _: pb.ScoreRequest(sentences=["a"], importance_samples=0),
        "importance_samples: must be 1 to 1000, got 0",
    ),
    "too many importance samples": Bad(
        lambda _: pb.ScoreRequest(sentences=["a"], importance_samples=1001),
        "importance_samples: must be 1 to 1000, got 1001",
    ),
    "a negative page": Bad(
        lambda _: model_pb2.ListModelsRequest(page_size=-1),
        "page_size: must be 0 (for 50) to 1000, got -1",
    ),
    "a page token of one's own": Bad(
        lambda _: model_pb2.ListModelsRequest(page_token="2"),
        "page_token: is not the next_page_token of an earlier page; leave it empty to start again",
    ),
    "a model's name in another form": Bad(
        lambda _: model_pb2.GetModelRequest(name="../../etc"),
        "name: must be models/MODEL/versions/VERSION, got '../../etc'; "
        "ListModels says the names there are",
    ),
    "a version that is not there": Bad(
        lambda _: model_pb2.GetModelRequest(name=f"models/toy/versions/{OTHER}"),
        f"name: there is no models/toy/versions/{OTHER}; ListModels says the names there are",
        grpc.StatusCode.NOT_FOUND,
    ),
}
