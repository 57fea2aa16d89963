"""Posteriors, densities and bounds, each against what can be worked out by hand."""

import pytest
import torch

from tests.test_model import CONFIG, VOCAB, tensors
from textvae.model.bounds import Bounds, bounds
from textvae.model.network import SentenceVae
from textvae.model.posterior import Mixture, Posterior, prior_log_prob


@pytest.fixture
def vae() -> SentenceVae:
    """A small network with its first weights."""
    torch.manual_seed(0)
    return SentenceVae(CONFIG, VOCAB).eval()


def test_kl_is_zero_at_the_prior_and_agrees_with_a_count_of_draws() -> None:
    assert Posterior(torch.zeros(1, 3), torch.zeros(1, 3)).kl().sum() == 0
    posterior = Posterior(torch.tensor([[0.7, -1.2]]), torch.tensor([[-0.5, 0.3]]))
    draws = posterior.mean + torch.exp(0.5 * posterior.logvar) * torch.randn(
        200_000, 1, 2, generator=torch.Generator().manual_seed(0)
    )
    counted = (posterior.log_prob(draws) - prior_log_prob(draws)).mean()
    assert float(counted) == pytest.approx(float(posterior.kl().sum()), rel=0.02)


@torch.no_grad()
def test_more_importance_samples_tighten_the_bound(vae: SentenceVae) -> None:
    """Of the same draws the importance-weighted bound is clearly tighter than the ELBO."""
    vae.embedding.weight.mul_(6)
    vae.decoder.gru.weight_ih_l0.mul_(6)
    found = bounds(vae, *tensors(), 500, torch.Generator().manual_seed(0))
    gained = found.reconstruction + found.kl - found.iw_nll
    assert (gained > 0.05).all()
    alone = bounds(vae, *tensors(), 1, torch.Generator().manual_seed(0))
    assert (alone.iw_nll - found.iw_nll).mean() > 0


@torch.no_grad()
def test_the_bound_takes_another_prior_by_its_density(vae: SentenceVae) -> None:
    """A mixture of one standard Gaussian changes nothing; one far from every latent costs."""
    zero, eye = torch.zeros(1, 5), torch.eye(5)[None]

    def asked(mean: torch.Tensor) -> Bounds:
        fitted = Mixture(torch.zeros(1), mean, eye)
        return bounds(vae, *tensors(), 50, torch.Generator().manual_seed(0), fitted)

    found = asked(zero)
    torch.testing.assert_close(found.fitted_iw_nll, found.iw_nll)
    torch.testing.assert_close(found.fitted_kl, found.kl, atol=0.5, rtol=0.5)
    far = asked(zero + 10)
    torch.testing.assert_close(far.iw_nll, found.iw_nll)
    assert (far.fitted_iw_nll > found.iw_nll + 100).all()
    assert (far.fitted_kl > found.kl + 100).all()


def test_a_mixture_has_the_density_of_its_parts() -> None:
    """Against torch.distributions, with correlated dimensions."""
    factors = torch.tensor([[[1.0, 0.0], [0.5, 2.0]], [[0.3, 0.0], [-0.2, 0.4]]])
    means = torch.tensor([[0.0, 1.0], [2.0, -1.0]])
    weights = torch.tensor([0.3, 0.7])
    parts = torch.distributions.MultivariateNormal(means, scale_tril=factors)
    wanted = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(weights), parts)
    mixture = Mixture(weights.log(), means, torch.linalg.inv(factors))
    latents = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixture.log_prob(latents), wanted.log_prob(latents))
