"""Diagonal Gaussians and importance weights: each formula stands once, all results are in nats."""

import math
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)
"""A formula of such arguments takes NumPy arrays or torch tensors, and gives what it takes."""

LOG_2_PI = 1.8378770664093453
"""log(2 * pi)"""


def kl(mean: Array, logvar: Array, variance: Array) -> Array:
    """KL(N(mu, sigma^2) || N(0, 1)) = 1/2 * (mu^2 + sigma^2 - 1 - log sigma^2) of each dimension.

    (...) each -> (...); the sum over the dimensions of a posterior is KL(q(z|x) || N(0, I)) (Kingma
    & Welling 2014, appendix B).
    """
    nats: Array = 0.5 * (mean**2 + variance - 1.0 - logvar)
    return nats


def log_density(z: Array, mean: Array, logvar: Array, precision: Array) -> Array:
    """log N(z; mu, sigma^2) + 1/2 * log(2 pi) = -1/2 * ((z - mu)^2 / sigma^2 + log sigma^2).

    (...) each -> (...), of each dimension; `precision` is 1 / sigma^2. The constant cancels in a
    ratio of two densities.
    """
    nats: Array = -0.5 * ((z - mean) ** 2 * precision + logvar)
    return nats


def log_importance_weights(
    log_likelihood: np.ndarray, z: np.ndarray, mean: np.ndarray, logvar: np.ndarray
) -> np.ndarray:
    """log w = log p(x|z) + log p(z) - log q(z|x), in float64.

    (n, samples), (n, samples, latent) draws of the posteriors, (n, latent) twice -> (n, samples).
    The constants of the two Gaussians cancel.
    """
    z, variance = z.astype(np.float64), np.exp(logvar.astype(np.float64))
    log_q = -0.5 * ((z - mean[:, None]) ** 2 / variance[:, None] + logvar[:, None]).sum(2)
    return np.asarray(log_likelihood - 0.5 * (z**2).sum(2) - log_q)


def iw_nll(log_weights: np.ndarray) -> np.ndarray:
    """-log(1/k * sum_i w_i) of k importance weights (Burda et al. 2016, equation 8).

    (n, samples) -> (n,), at most the negative ELBO. The largest weight is taken out of the sum, so
    that no exponential overflows.
    """
    peak = log_weights.max(1, keepdims=True)
    return -np.asarray(peak[:, 0] + np.log(np.exp(log_weights - peak).mean(1)))


def iw_nll_of_tensors(log_weights: Tensor) -> Tensor:
    """The same as `iw_nll` by torch, samples first: (samples, batch) -> (batch,)."""
    return math.log(len(log_weights)) - torch.logsumexp(log_weights, 0)
