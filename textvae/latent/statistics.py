"""What a set of posteriors says of the latent space."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

# Burda et al. 2016, section 5: a dimension is active when its means vary by more than this.
ACTIVE_VARIANCE = 0.01
BLOCK = 256


class LatentStatistics(NamedTuple):
    """Of posteriors of a whole set of sentences."""

    kl_nats: np.ndarray
    """(latent,) mean KL of each dimension."""
    active_units: int
    """Dimensions whose means vary over the set by more than 0.01."""
    mutual_information_nats: float
    """Between sentence and latent, over the set; at most the logarithm of its size."""


def latent_statistics(
    mean: np.ndarray, logvar: np.ndarray, samples: np.ndarray
) -> LatentStatistics:
    """(n, latent) three times, `samples` one draw of each posterior -> LatentStatistics."""
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1.0 - logvar)
    return LatentStatistics(
        kl.mean(0),
        int((mean.var(0) > ACTIVE_VARIANCE).sum()),
        mutual_information(mean, logvar, samples),
    )


def mutual_information(mean: np.ndarray, logvar: np.ndarray, samples: np.ndarray) -> float:
    """(n, latent) three times -> E log q(z|x) - E log q(z), q(z) the mixture of all n posteriors.

    Hoffman & Johnson 2016, estimated over the whole set: over parts of it the mixture would be
    smaller and the figure capped by the logarithm of the part's size.
    """
    mean, logvar, samples = (part.astype(np.float64) for part in (mean, logvar, samples))
    precision = np.exp(-logvar)
    # (z - m)^2 / v = z^2 / v - 2 z m / v + m^2 / v, summed over dimensions by matrix products.
    constant = (mean**2 * precision + logvar).sum(1)
    total = 0.0
    for first in range(0, len(samples), BLOCK):
        z = samples[first : first + BLOCK]
        log_q = -0.5 * (z**2 @ precision.T - 2 * z @ (mean * precision).T + constant)
        own = log_q[np.arange(len(z)), first + np.arange(len(z))]
        total += float((own - logsumexp(log_q, axis=1)).sum())
    return total / len(samples) + float(np.log(len(samples)))
