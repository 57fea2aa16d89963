"""The limits of one request, and the checks that all requests share.

Values only: NumPy in and out, no torch, no protobuf. A field has the name it has in the proto, so
that an error here names the field the client knows.
"""

from typing import NamedTuple

import numpy as np

from textvae.config.serve import ServeConfig
from textvae.errors import InputError
from textvae.ranges import check_within
from textvae.threads import available_threads

REQUEST_SEED_MAX = 2**64 - 1
"""The counter of the random numbers has 64 bits for a seed."""
INDEX_MAX = 2**63 - 1
LATENT_MAX = 1e4


class Limits(NamedTuple):
    """The limits of one request; GetServerInfo publishes them."""

    sentences_max: int
    characters_max: int
    tokens_max: int
    count_max: int
    steps_max: int
    importance_samples_max: int
    rows_max: int
    """Rows of the decoder that one call may need, and that may wait in all."""


class Load(NamedTuple):
    """How busy the engine is."""

    active_rows: int
    waiting_rows: int
    slots: int
    waiting_s: float
    """Seconds that a new caller would wait before one row of its own, as far as it is known."""
    callers: int
    """Callers that have requests in the engine."""


def limits_of(config: ServeConfig) -> Limits:
    """Return the limits that the server's settings set."""
    named = {name: getattr(config, name) for name in Limits._fields if name != "rows_max"}
    return Limits(**named, rows_max=config.waiting_rows_max)


def check_rows(
    name: str, rows: int, limits: Limits, *, beam: bool = False, candidates: int = 1
) -> None:
    """Raise InputError where the product of allowed numbers exceeds the rows of one call."""
    if rows > limits.rows_max:
        factors, fix = "the number of sentences", "send fewer sentences a call"
        if candidates > 1:
            factors += f" and {candidates} candidates"
            fix += " or ask for fewer candidates"
        if beam:
            factors += " and the beam"
        problem = f"times {factors} must be at most {limits.rows_max}, got {rows}"
        raise InputError(name, f"{problem}; {fix}")


def check_address(seed: int, first_index: int) -> None:
    """Raise InputError unless seed and index fit the counter of the random numbers."""
    check_within("seed", seed, 0, REQUEST_SEED_MAX)
    check_within("first_index", first_index, 0, INDEX_MAX)


def check_sentences(sentences: tuple[str, ...], limits: Limits, field: str = "sentences") -> None:
    """Raise InputError naming the first sentence outside the limits."""
    check_within(field, len(sentences), 1, limits.sentences_max, "sentences")
    for number, sentence in enumerate(sentences):
        check_sentence(f"{field}[{number}]", sentence, limits)


def check_sentence(name: str, sentence: str, limits: Limits) -> None:
    """Raise InputError for an empty or overlong sentence; `LoadedVersion` limits its tokens."""
    if not sentence.strip():
        raise InputError(name, "must not be empty; send at least one character that is not a space")
    if len(sentence) > limits.characters_max:
        limit = f"must be at most {limits.characters_max} characters, got {len(sentence)}"
        raise InputError(name, f"{limit}; shorten or split it")


def check_finite(name: str, values: np.ndarray) -> None:
    """Raise InputError naming the first row with a value that is not finite or beyond LATENT_MAX.

    (n, latent), or (latent,), which `name` names by itself.
    """
    problem = "must be finite, got NaN or infinity"
    bad = ~np.isfinite(values)
    if not bad.any():
        problem = f"must be -{LATENT_MAX:g} to {LATENT_MAX:g}"
        bad = np.abs(values) > LATENT_MAX
    if bad.any():
        row = f"[{int(bad.any(axis=1).argmax())}]" if values.ndim > 1 else ""
        raise InputError(f"{name}{row}", f"values {problem}; encode again")


def check_width(field: str, latents: np.ndarray, width: int) -> np.ndarray:
    """(n, width) -> the same as float32; raise InputError for another width."""
    if latents.ndim != 2 or latents.shape[1] != width:
        columns = latents.shape[1] if latents.ndim == 2 else 0
        raise InputError(
            field, f"must have {width} columns, got {columns}; encode with this version"
        )
    return np.ascontiguousarray(latents, np.float32)


def threads_of(config: ServeConfig) -> int:
    """Return the number of threads of the engine's arithmetic."""
    return config.threads or available_threads()
