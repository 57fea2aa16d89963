"""What can be asked of the engine, and how much.

Values only: numpy in and out, no torch, no protobuf. A field has the name it has in the proto, so
that an error here names the field the client knows.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from textvae.config import ServeConfig
from textvae.errors import InputError

SEED_MAX = 2**64 - 1
INDEX_MAX = 2**63 - 1
TEMPERATURE_MAX = 10.0
RADIUS_MAX = 10.0
LATENT_MAX = 1e4
BEAM_MAX = 8


class Limits(NamedTuple):
    """The most that one request may ask; GetServerInfo publishes it."""

    sentences_max: int
    characters_max: int
    tokens_max: int
    count_max: int
    steps_max: int
    importance_samples_max: int
    rows_max: int
    """Rows that one call may bring to the decoder, and that may wait in all."""


def limits_of(config: ServeConfig) -> Limits:
    """The limits of requests, from the server's settings."""
    named = {name: getattr(config, name) for name in Limits._fields if name != "rows_max"}
    return Limits(**named, rows_max=config.waiting_rows_max)


class Options(NamedTuple):
    """How a sentence is written from a latent."""

    temperature: float = 0.0
    """Softmax temperature, 0 to 10; 0 takes the likeliest token (greedy)."""
    top_k: int = 0
    """Only the k likeliest tokens; 0 for all."""
    top_p: float = 1.0
    """Only the likeliest tokens that together have this mass, above 0 to 1."""
    tokens_max: int = 0
    """Most tokens written; 0 for the server's limit."""
    min_p: float = 0.0
    """Only tokens at least this times as probable as the likeliest, 0 to 1."""
    no_repeat: int = 0
    """Never a run of this many tokens that the sentence already has; 0 for no guard."""
    beam: int = 0
    """Hypotheses that a beam search keeps, 0 to 8; 0 and 1 for none."""
    alternatives: int = 0
    """Other sentences of the beam to return, below `beam`."""

    def check(self, limits: Limits) -> None:
        """InputError unless every option is within its limits."""
        _within("temperature", self.temperature, 0.0, TEMPERATURE_MAX)
        _within("top_k", self.top_k, 0, INDEX_MAX)
        if not (math.isfinite(self.top_p) and 0 < self.top_p <= 1):
            raise InputError("top_p", f"must be above 0 and at most 1, got {self.top_p}")
        _within("tokens_max", self.tokens_max, 0, limits.tokens_max)
        _within("min_p", self.min_p, 0.0, 1.0)
        _within("no_repeat", self.no_repeat, 0, limits.tokens_max)
        _within("beam", self.beam, 0, BEAM_MAX)
        if self.beam > 1 and self.temperature > 0:
            raise InputError("beam", "must be 0 with a temperature; a beam does not draw")
        _within("alternatives", self.alternatives, 0, max(self.beam - 1, 0))


GREEDY = Options()


@dataclass(frozen=True)
class EncodeRequest:
    """Sentences to posteriors."""

    sentences: tuple[str, ...]
    samples: int = 0
    seed: int = 0
    first_index: int = 0

    def check(self, limits: Limits) -> None:
        """InputError unless within the limits."""
        _check_sentences(self.sentences, limits)
        _within("sample_count", self.samples, 0, limits.count_max)
        _check_rows("sample_count" if self.samples else "sentences", self, limits)
        _check_place(self.seed, self.first_index)


@dataclass(frozen=True)
class DecodeRequest:
    """Latents, (n, latent), to sentences."""

    latents: np.ndarray
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    def check(self, limits: Limits) -> None:
        """InputError unless within the limits; the width is the engine's to check."""
        _within("latents", len(self.latents), 1, limits.sentences_max, "rows")
        _check_finite("latents", self.latents)
        self.options.check(limits)
        _check_place(self.seed, self.first_index)


@dataclass(frozen=True)
class SampleRequest:
    """Draws from a prior to sentences; prior `auto` is the fitted one where the version has one."""

    count: int
    prior: Literal["auto", "standard", "fitted"] = "auto"
    scale: float = 1.0
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    def check(self, limits: Limits) -> None:
        """InputError unless within the limits."""
        _within("count", self.count, 1, limits.count_max)
        _within("scale", self.scale, 0.0, RADIUS_MAX)
        self.options.check(limits)
        _check_place(self.seed, self.first_index)


@dataclass(frozen=True)
class InterpolateRequest:
    """Sentences or latents, (latent,), to the sentences of a path through them."""

    points: tuple[str | np.ndarray, ...]
    steps: int
    path: Literal["lerp", "slerp"] = "lerp"
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    def check(self, limits: Limits) -> None:
        """InputError unless within the limits."""
        _within("points", len(self.points), 2, limits.steps_max, "points")
        _within("steps", self.steps, len(self.points), limits.steps_max)
        for number, point in enumerate(self.points):
            if isinstance(point, str):
                _check_sentence(f"points[{number}].sentence", point, limits)
            else:
                _check_finite(f"points[{number}].latents", point)
        self.options.check(limits)
        _check_place(self.seed, self.first_index)


@dataclass(frozen=True)
class ParaphraseRequest:
    """Sentences to `count` variations each: mean + radius * deviation * noise."""

    sentences: tuple[str, ...]
    count: int
    radius: float = 1.0
    distinct: bool = False
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    def check(self, limits: Limits) -> None:
        """InputError unless within the limits."""
        _check_sentences(self.sentences, limits)
        _within("count", self.count, 1, limits.count_max)
        _check_rows("count", self, limits)
        _within("radius", self.radius, 0.0, RADIUS_MAX)
        self.options.check(limits)
        _check_place(self.seed, self.first_index)


@dataclass(frozen=True)
class ScoreRequest:
    """Sentences to nats."""

    sentences: tuple[str, ...]
    importance_samples: int = 100
    seed: int = 0
    first_index: int = 0

    def check(self, limits: Limits) -> None:
        """InputError unless within the limits."""
        _check_sentences(self.sentences, limits)
        _within("importance_samples", self.importance_samples, 1, limits.importance_samples_max)
        _check_rows("importance_samples", self, limits)
        _check_place(self.seed, self.first_index)


Request = (
    EncodeRequest
    | DecodeRequest
    | SampleRequest
    | InterpolateRequest
    | ParaphraseRequest
    | ScoreRequest
)


def rows_of(request: Request) -> int:
    """What a request costs: rows for the decoder, or latents that Encode gives."""
    match request:
        case EncodeRequest():
            return len(request.sentences) * max(request.samples, 1)
        case DecodeRequest():
            return len(request.latents) * _slots(request)
        case SampleRequest():
            return request.count * _slots(request)
        case InterpolateRequest():
            return request.steps * _slots(request)
        case ParaphraseRequest():
            return len(request.sentences) * request.count * _slots(request)
        case ScoreRequest():
            return len(request.sentences) * request.importance_samples


def _slots(request: DecodeRequest | SampleRequest | InterpolateRequest | ParaphraseRequest) -> int:
    """Slots that a sentence takes."""
    return max(request.options.beam, 1)


def _within(name: str, value: float, low: float, high: float, noun: str = "") -> None:
    """InputError unless low <= value <= high; not a number is outside."""
    if not low <= value <= high:
        noun = f" {noun}" if noun else ""
        raise InputError(name, f"must be {low} to {high}{noun}, got {value}")


def _check_rows(name: str, request: Request, limits: Limits) -> None:
    """InputError where a product of two allowed numbers is more than one call may bring."""
    rows = rows_of(request)
    if rows > limits.rows_max:
        factors = "the number of sentences"
        if isinstance(request, ParaphraseRequest) and request.options.beam > 1:
            factors += " and the beam"
        problem = f"times {factors} must be at most {limits.rows_max}, got {rows}"
        raise InputError(name, f"{problem}; send fewer sentences a call")


def _check_place(seed: int, first_index: int) -> None:
    """InputError unless seed and index fit the counter of the random numbers."""
    _within("seed", seed, 0, SEED_MAX)
    _within("first_index", first_index, 0, INDEX_MAX)


def _check_sentences(sentences: tuple[str, ...], limits: Limits) -> None:
    """InputError naming the first sentence that is out of bounds."""
    _within("sentences", len(sentences), 1, limits.sentences_max, "sentences")
    for number, sentence in enumerate(sentences):
        _check_sentence(f"sentences[{number}]", sentence, limits)


def _check_sentence(name: str, sentence: str, limits: Limits) -> None:
    """InputError for an empty or overlong sentence; its tokens are counted once they are made."""
    if not sentence.strip():
        raise InputError(name, "must not be empty; send at least one character that is not a space")
    if len(sentence) > limits.characters_max:
        limit = f"must be at most {limits.characters_max} characters, got {len(sentence)}"
        raise InputError(name, f"{limit}; shorten or split it")


def _check_finite(name: str, values: np.ndarray) -> None:
    """InputError naming the first row with a value that is not finite."""
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(values), -1).all(axis=1))) if values.ndim > 1 else 0
        raise InputError(
            name, f"values must be finite, row {row} has NaN or infinity; encode again"
        )
    if np.abs(values).max(initial=0.0) > LATENT_MAX:
        raise InputError(name, f"values must be -{LATENT_MAX:g} to {LATENT_MAX:g}; encode again")
