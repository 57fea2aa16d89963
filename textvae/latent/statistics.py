"""What a set of posteriors says of the latent space."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

# Burda et al. 2016, section 5: a dimension is active when its means vary by more than this.
ACTIVE_VARIANCE = 0.01
# What later tables ask as well, for 0.01 is soon reached (DELLA 2022 counts units by it).
ACTIVE_VARIANCE_STRICT = 0.2
BLOCK = 256
# Sentences that the marginals are estimated from: a dimension carries a nat or two, and the
# logarithm of this, 6.2 nats, is far enough above that to be no cap.
MARGINAL_SENTENCES_MAX = 500


class LatentStatistics(NamedTuple):
    """Of posteriors of a whole set of sentences."""

    kl_nats: np.ndarray
    """(latent,) mean KL of each dimension."""
    active_units: int
    """Dimensions whose means vary over the set by more than 0.01."""
    active_units_02: int
    """Dimensions whose means vary over the set by more than 0.2."""
    mutual_information_nats: float
    """Between sentence and latent, over the set; at most the logarithm of its size."""
    aggregate_kl_nats: float
    """How far the aggregate posterior is from the standard prior; see `aggregate_kl`."""
    marginal_kl_nats: np.ndarray
    """(latent,) how far each dimension of the aggregate posterior is from the standard normal."""


def latent_statistics(
    mean: np.ndarray, logvar: np.ndarray, samples: np.ndarray
) -> LatentStatistics:
    """(n, latent) three times, `samples` one draw of each posterior -> LatentStatistics."""
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1.0 - logvar)
    variance = mean.var(0)
    information = mutual_information(mean, logvar, samples)
    first = slice(MARGINAL_SENTENCES_MAX)
    return LatentStatistics(
        kl.mean(0),
        int((variance > ACTIVE_VARIANCE).sum()),
        int((variance > ACTIVE_VARIANCE_STRICT).sum()),
        information,
        aggregate_kl(float(kl.sum(1).mean()), information),
        marginal_kl(mean[first], logvar[first], samples[first]),
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


def aggregate_kl(kl_nats: float, mutual_information_nats: float) -> float:
    """Mean KL of the posteriors and mutual information -> KL(q(z) || N(0, I)), in nats.

    Hoffman & Johnson 2016, section 2: the mean KL is the sum of the two. The estimate of the
    information is capped by the logarithm of the set's size, so this is an upper bound, and a tight
    one only where the information is well below that cap.
    """
    return kl_nats - mutual_information_nats


def marginal_kl(mean: np.ndarray, logvar: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(n, latent) three times -> (latent,) `aggregate_kl` of each dimension alone, in nats.

    The information of one dimension is far below the cap, so these are tight where the whole is
    not, to some hundredths of a nat; but holes between dimensions they cannot see. Zhang et al.
    2022 (DG-VAE) ask the same of each unit.
    """
    mean, logvar, samples = (part.astype(np.float64) for part in (mean, logvar, samples))
    found = np.empty(mean.shape[1])
    for place, (m, v, z) in enumerate(zip(mean.T, logvar.T, samples.T, strict=True)):
        density = np.exp(-0.5 * ((z[:, None] - m) ** 2 * np.exp(-v) + v)).mean(1)
        information = -0.5 * ((z - m) ** 2 * np.exp(-v) + v) - np.log(density)
        found[place] = (0.5 * (m**2 + np.exp(v) - 1.0 - v) - information).mean()
    return found
