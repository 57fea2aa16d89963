"""What a client gives and gets: values with numpy arrays, float32 unless said otherwise."""

from typing import Any, NamedTuple

import numpy as np


class Latents(NamedTuple):
    """Latents and the version they belong to; to compute with `values`, keep `version` beside."""

    values: np.ndarray
    """(n, latent)."""
    version: str


class Options(NamedTuple):
    """How a sentence is written from a latent; greedily where nothing is said."""

    temperature: float = 0.0
    """Softmax temperature, 0 to 10; 0 takes the likeliest token."""
    top_k: int = 0
    """Draws among the k likeliest tokens only; 0 for all."""
    top_p: float = 1.0
    """Draws among the likeliest tokens that together have this probability, above 0 to 1."""
    tokens_max: int = 0
    """Most tokens written; 0 for the server's limit."""
    min_p: float = 0.0
    """Draws among the tokens at least this times as probable as the likeliest, 0 to 1."""
    no_repeat: int = 0
    """Never writes a run of this many tokens that the sentence already has; 0 for no guard."""
    beam: int = 0
    """Hypotheses that a beam search keeps, 0 to 8; 0 and 1 for none."""
    alternatives: int = 0
    """Other sentences of the beam to return, below `beam`."""


GREEDY = Options()


class Facts(NamedTuple):
    """How a result was made; version and seed make it again."""

    version: str
    seed: int
    queue_us: int
    """Microseconds of waiting in the server, summed over the calls."""
    compute_us: int
    """Microseconds of work in the server, summed over the calls."""
    tokens: int
    """Tokens read and written."""
    batch_rows: int
    """Most rows, own and others', that shared a decoder step."""


class GeneratedSentence(NamedTuple):
    """A sentence that the decoder wrote."""

    text: str
    log_prob: float
    """Log-probability of its tokens given the latent, in nats."""
    tokens: int
    ended: bool
    """False where the token limit cut it."""
    alternatives: "tuple[GeneratedSentence, ...]" = ()
    """The beam's other sentences, the best first; as many as `Options.alternatives` asked for."""


class EncodeResult(NamedTuple):
    """Posteriors, a row per sentence."""

    mean: Latents
    logvar: Latents | None
    samples: Latents | None
    """As many rows in a row per sentence as were asked for."""
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


class Variations(NamedTuple):
    """The variations of one sentence, nearest latent first."""

    sentences: list[GeneratedSentence]
    distances: list[float]
    """Root mean square distance from the posterior mean, in posterior deviations."""
    latents: Latents


class ParaphraseResult(NamedTuple):
    """Variations per sentence."""

    variations: list[Variations]
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
    """Known of a model that was asked for by name, as are the next two."""
    bytes: int = 0
    manifest: dict[str, Any] | None = None


class Limits(NamedTuple):
    """The most that one call may ask of the server; larger inputs are sent in chunks."""

    sentences_max: int
    characters_max: int
    tokens_max: int
    count_max: int
    steps_max: int
    importance_samples_max: int
    rows_max: int
    message_bytes_max: int


class Load(NamedTuple):
    """What the server's engine has to do."""

    active_rows: int
    waiting_rows: int
    slots: int


class ServerInfo(NamedTuple):
    """What serves."""

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
    """Why the newest promotion is not what answers; empty where it is."""
