"""What the engine answers: values with NumPy arrays, no torch, no protobuf."""

from typing import NamedTuple

import numpy as np


class Written(NamedTuple):
    """A sentence that the decoder wrote."""

    text: str
    log_prob: float
    """Of the tokens at temperature 1, in nats; the end counts where it was written."""
    tokens: int
    """Tokens written; the end is not counted."""
    ended: bool
    """False where the token limit cut the sentence."""
    alternatives: "tuple[Written, ...]" = ()
    """The beam's other sentences, the best first."""


class Encoded(NamedTuple):
    """Posteriors: (n, latent) float32 each, samples (n * count, latent), a sentence's in a row."""

    mean: np.ndarray
    logvar: np.ndarray
    samples: np.ndarray


class Drawn(NamedTuple):
    """Sentences and the latents they were written from, (n, latent)."""

    written: list[Written]
    latents: np.ndarray
    prior: str = ""
    """Prior the latents were drawn from: standard, fitted, or empty where they were given."""


class Interpolated(NamedTuple):
    """A path: positions 0 to 1, one sentence and one latent each."""

    positions: list[float]
    written: list[Written]
    latents: np.ndarray


class Paraphrased(NamedTuple):
    """Per asked sentence its variations, their latents and distances (in posterior deviations)."""

    variations: list[list[Written]]
    latents: list[np.ndarray]
    distances: list[list[float]]


class Scored(NamedTuple):
    """Nats per sentence, (n,) each; `elbo_nats` is negative: -(reconstruction + KL)."""

    reconstruction_nats: np.ndarray
    kl_nats: np.ndarray
    elbo_nats: np.ndarray
    iw_nll_nats: np.ndarray
    tokens: np.ndarray


Result = Encoded | Drawn | Interpolated | Paraphrased | Scored


class Done(NamedTuple):
    """A result and the facts that replay and explain it."""

    result: Result
    seed: int
    queue_us: int
    """Microseconds from submission to the first work."""
    compute_us: int
    """Microseconds from the first work to the result."""
    tokens: int
    """Tokens read and written."""
    batch_rows: int
    """Most rows, the request's own and its neighbours', that shared a decoder step with it."""
