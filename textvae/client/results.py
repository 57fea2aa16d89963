"""The values of the client: NumPy arrays, float32 unless stated otherwise."""

from typing import Any, NamedTuple

import numpy as np


class Latents(NamedTuple):
    """Latents and their version; `Latents(array, version)` makes them of computed values."""

    values: np.ndarray
    """(n, latent)."""
    version: str


class Facts(NamedTuple):
    """How a result was computed; version and seed reproduce it."""

    version: str
    seed: int
    queue_us: int
    """Microseconds of waiting in the server, the sum over the calls."""
    compute_us: int
    """Microseconds of work in the server, the sum over the calls."""
    tokens: int
    """Tokens read and generated."""
    batch_rows: int
    """Most rows, own and others', that shared a decoder step."""


class GeneratedSentence(NamedTuple):
    """A sentence that the decoder generated."""

    text: str
    log_prob: float
    """Log-probability of its tokens given the latent, in nats."""
    tokens: int
    ended: bool
    """False where the token limit cut it."""
    alternatives: "tuple[GeneratedSentence, ...]" = ()
    """The beam's other sentences, the best first; at most `Options.alternatives`."""


class EncodeResult(NamedTuple):
    """Posteriors, a row per sentence."""

    mean: Latents
    logvar: Latents | None
    samples: Latents | None
    """`samples` adjacent rows per sentence."""
    facts: Facts


class DecodeResult(NamedTuple):
    """A sentence per latent."""

    sentences: list[GeneratedSentence]
    facts: Facts


class SampleResult(NamedTuple):
    """Draws of a prior."""

    sentences: list[GeneratedSentence]
    latents: Latents
    prior: str
    """standard or fitted."""
    facts: Facts


class InterpolateResult(NamedTuple):
    """A path."""

    positions: list[float]
    """0 at the first point, 1 at the last."""
    sentences: list[GeneratedSentence]
    latents: Latents
    facts: Facts


class Axes(NamedTuple):
    """What a variation is judged by."""

    adequacy: float
    """Nats a token by which sentence and variation make each other likelier; below 0 where they
    speak of different things."""
    fluency: float
    """Nats a token under the language model; lower is more fluent."""
    new_words: float
    """Share of its words that the sentence does not have, 0 to 1."""
    new_bigrams: float
    """Share of its pairs of adjacent words that the sentence does not have, 0 to 1."""
    similarity: float
    """Cosine of the posterior means of sentence and variation, -1 to 1."""


class Lock(NamedTuple):
    """A lock in a variation, in characters."""

    text: str
    start: int
    end: int
    """The character after its last one."""


class Variations(NamedTuple):
    """The variations of one sentence: the best first or, not judged, the nearest latent first."""

    sentences: list[GeneratedSentence]
    distances: list[float]
    """Root mean square distance from the posterior mean, in posterior deviations."""
    latents: Latents
    axes: list[Axes]
    """A row per variation; empty where they are not judged."""
    missing: list[str]
    """Why variations are missing, one for each: copy, repeat, not_adequate, not_fluent, not_novel,
    length, lock_unmet or budget."""
    source_fluency: float
    """Nats a token of the sentence itself under the language model; 0 where nothing is judged."""
    locks: list[list[Lock]]
    """Of each variation where the locks of the sentence stand in it, in the sentence's order."""


class ParaphraseResult(NamedTuple):
    """Variations per sentence."""

    variations: list[Variations]
    method: str
    """rephrase or draw."""
    facts: Facts


class ScoreResult(NamedTuple):
    """Nats per sentence, float64 (n,) each; `elbo_nats` is -(reconstruction + KL)."""

    reconstruction_nats: np.ndarray
    kl_nats: np.ndarray
    elbo_nats: np.ndarray
    iw_nll_nats: np.ndarray
    tokens: np.ndarray
    facts: Facts


class Model(NamedTuple):
    """A published version."""

    name: str
    """models/{model}/versions/{version}"""
    version: str
    serving: bool
    manifest_sha256: str = ""
    """Only from `model`, as are the next two."""
    bytes: int = 0
    manifest: dict[str, Any] | None = None


class Limits(NamedTuple):
    """The server's limits of one call; larger inputs are sent in chunks."""

    sentences_max: int
    characters_max: int
    tokens_max: int
    count_max: int
    steps_max: int
    importance_samples_max: int
    rows_max: int
    message_bytes_max: int


class Load(NamedTuple):
    """The load of the server."""

    active_rows: int
    waiting_rows: int
    slots: int
    waiting_s: float
    """Seconds that a call of one row by a new caller would wait for others."""
    callers: int
    """Callers that have requests in the engine."""
    calls: int
    """Calls in hand of all methods, this one too."""


class ServerInfo(NamedTuple):
    """The version that serves, and the server's limits and load."""

    textvae_release: str
    model: str
    version: str
    latent: int
    """Width of the latents."""
    vocab: int
    has_fitted_prior: bool
    arithmetic: str
    limits: Limits
    load: Load
    champion_problem: str
    """Why the newest promotion does not answer; empty where it does."""
