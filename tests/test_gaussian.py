"""Gaussian arithmetic against SciPy's densities and torch's divergences."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm

from textvae.latent import gaussian
from textvae.latent.statistics import (
    MARGINAL_SENTENCES_MAX,
    aggregate_kl,
    latent_statistics,
    marginal_kl,
    mutual_information,
)

RANDOM = np.random.default_rng(2)


def posteriors(count: int, latent: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means, log-variances and one draw of each posterior, (count, latent) each."""
    mean = 1.5 * RANDOM.standard_normal((count, latent))
    logvar = RANDOM.uniform(-2, 1, (count, latent))
    return mean, logvar, mean + np.exp(logvar / 2) * RANDOM.standard_normal((count, latent))


def test_the_kl_is_that_of_torch_for_arrays_and_tensors_alike() -> None:
    mean, logvar, _ = posteriors(20, 3)
    ours = gaussian.kl(mean, logvar, np.exp(logvar))
    tensors = torch.from_numpy(mean), torch.from_numpy(logvar)
    normal = torch.distributions.Normal(tensors[0], (0.5 * tensors[1]).exp())
    wanted = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-9)
    torch.testing.assert_close(gaussian.kl(*tensors, tensors[1].exp()), torch.from_numpy(ours))


def test_the_log_density_lacks_its_constant_alone() -> None:
    mean, logvar, z = posteriors(20, 3)
    found = gaussian.log_density(z, mean, logvar, np.exp(-logvar))
    wanted = norm.logpdf(z, mean, np.exp(logvar / 2))
    np.testing.assert_allclose(found - gaussian.LOG_2_PI / 2, wanted, rtol=1e-9)


def test_importance_weights_are_the_likelihood_times_the_ratio_of_prior_and_posterior() -> None:
    mean, logvar, _ = posteriors(5, 3)
    z = mean[:, None] + RANDOM.standard_normal((5, 7, 3))
    log_likelihood = -20 * RANDOM.random((5, 7))
    log_q = norm.logpdf(z, mean[:, None], np.exp(logvar / 2)[:, None]).sum(2)
    np.testing.assert_allclose(
        gaussian.log_importance_weights(log_likelihood, z, mean, logvar),
        log_likelihood + norm.logpdf(z).sum(2) - log_q,
        rtol=1e-9,
    )


def test_the_bound_is_the_logarithm_of_the_mean_weight_by_numpy_and_torch() -> None:
    """Also where every exponential would be 0 or infinite."""
    for offset in (0.0, -2000.0, 2000.0):
        log_weights = offset + 5 * RANDOM.standard_normal((6, 9))
        wanted = np.log(9) - logsumexp(log_weights, axis=1)
        np.testing.assert_allclose(gaussian.iw_nll(log_weights), wanted, rtol=1e-9)
        tensor = torch.from_numpy(log_weights.T.copy())
        np.testing.assert_allclose(gaussian.iw_nll_of_tensors(tensor).numpy(), wanted, rtol=1e-9)


def log_q_of_pairs(mean: np.ndarray, logvar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(n, latent) three times -> (n, n, latent) log q of draw i under posterior j."""
    return np.asarray(norm.logpdf(z[:, None], mean[None], np.exp(logvar / 2)[None]))


def test_the_mutual_information_is_that_of_all_pairs_over_several_blocks() -> None:
    mean, logvar, z = posteriors(600, 3)
    log_q = log_q_of_pairs(mean, logvar, z).sum(2)
    wanted = np.mean(np.diag(log_q) - (logsumexp(log_q, axis=1) - np.log(600)))
    assert mutual_information(mean, logvar, z) == pytest.approx(float(wanted), rel=1e-9)


def test_the_marginal_kl_is_that_of_each_dimension_alone() -> None:
    mean, logvar, z = posteriors(200, 3)
    log_q = log_q_of_pairs(mean, logvar, z)
    own = log_q[range(200), range(200)]
    information = own - (logsumexp(log_q, axis=1) - np.log(200))
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)
    np.testing.assert_allclose(marginal_kl(mean, logvar, z), (kl - information).mean(0), rtol=1e-9)


def test_a_set_that_is_the_prior_has_no_aggregate_kl() -> None:
    """Means of variance 0.75 with noise of variance 0.25 add up to the standard normal."""
    mean = np.sqrt(0.75) * RANDOM.standard_normal((3000, 2))
    logvar = np.full((3000, 2), np.log(0.25))
    found = latent_statistics(mean, logvar, mean + 0.5 * RANDOM.standard_normal((3000, 2)))
    assert found.aggregate_kl_nats == pytest.approx(0, abs=0.1)
    np.testing.assert_allclose(found.marginal_kl_nats, 0, atol=0.1)
    # Of a Gaussian channel: 1/2 * log(1 / 0.25) nats a dimension.
    assert found.mutual_information_nats == pytest.approx(np.log(4), rel=0.1)


def test_statistics_are_those_of_the_set_and_marginals_those_of_its_first_sentences() -> None:
    mean, logvar, z = posteriors(600, 3)
    found = latent_statistics(mean, logvar, z)
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)
    np.testing.assert_allclose(found.kl_nats, kl.mean(0))
    information = mutual_information(mean, logvar, z)
    assert found.mutual_information_nats == information
    assert found.aggregate_kl_nats == pytest.approx(float(kl.sum(1).mean()) - information)
    assert aggregate_kl(5.0, 3.0) == 2.0
    assert MARGINAL_SENTENCES_MAX == 500, "the first 500 sentences, as the page says"
    first = slice(500)
    wanted = marginal_kl(mean[first], logvar[first], z[first])
    assert np.array_equal(found.marginal_kl_nats, wanted)


def test_a_unit_is_active_when_the_variance_of_its_means_is_above_the_limit() -> None:
    """0.01 of Burda et al. 2016, and the stricter 0.2."""
    variances = np.array([0.0, 0.0099, 0.0101, 0.199, 0.201, 3.0])
    mean = np.sqrt(variances) * np.tile([[1.0], [-1.0]], (20, 1))
    found = latent_statistics(mean, np.zeros_like(mean), mean)
    assert (found.active_units, found.active_units_02) == (4, 2)
