"""Statistics of the posteriors of a set of sentences."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from textvae.latent.gaussian import kl, log_density

# Burda et al. 2016, section 5: a dimension is active when its means vary by more than this.
ACTIVE_VARIANCE = 0.01
# A stricter limit of later papers, for 0.01 is soon reached (DELLA 2022 counts units by it).
ACTIVE_VARIANCE_STRICT = 0.2
BLOCK = 256
# Sentences that the marginals are estimated from: a dimension carries a nat or two, and the
# logarithm of this, 6.2 nats, is far enough above that to be no cap.
MARGINAL_SENTENCES_MAX = 500


class LatentStatistics(NamedTuple):
    """Statistics of the posteriors of a set of sentences."""

    kl_nats: np.ndarray
    """(latent,) mean KL of each dimension."""
    active_units: int
    """Dimensions whose means vary over the set by more than 0.01."""
    active_units_02: int
    """Dimensions whose means vary over the set by more than 0.2."""
    mutual_information_nats: float
    """I(x; z) of sentence and latent over the set; at most the logarithm of its size."""
    aggregate_kl_nats: float
    """KL(q(z) || N(0, I)) of the aggregate posterior; see `aggregate_kl`."""
    marginal_kl_nats: np.ndarray
    """(latent,) KL(q(z_d) || N(0, 1)) of each dimension of the aggregate posterior."""


def latent_statistics(
    mean: np.ndarray, logvar: np.ndarray, samples: np.ndarray
) -> LatentStatistics:
    """(n, latent) three times, `samples` one draw of each posterior -> LatentStatistics."""
    kl_nats = kl(mean, logvar, np.exp(logvar))
    variance = mean.var(0)
    information = mutual_information(mean, logvar, samples)
    first = slice(MARGINAL_SENTENCES_MAX)
    return LatentStatistics(
        kl_nats.mean(0),
        int((variance > ACTIVE_VARIANCE).sum()),
        int((variance > ACTIVE_VARIANCE_STRICT).sum()),
        information,
        aggregate_kl(float(kl_nats.sum(1).mean()), information),
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

    The information of one dimension is far below the cap, so these are tight where `aggregate_kl`
    is not, to some hundredths of a nat; but they do not see dependence between dimensions. Zhang
    et al. 2022 (DG-VAE) use the same for each unit.
    """
    mean, logvar, samples = (part.astype(np.float64) for part in (mean, logvar, samples))
    kl_nats = np.empty(mean.shape[1])
    for dimension, (m, v, z) in enumerate(zip(mean.T, logvar.T, samples.T, strict=True)):
        precision = np.exp(-v)
        log_aggregate = np.log(np.exp(log_density(z[:, None], m, v, precision)).mean(1))
        information = log_density(z, m, v, precision) - log_aggregate
        kl_nats[dimension] = (kl(m, v, np.exp(v)) - information).mean()
    return kl_nats
