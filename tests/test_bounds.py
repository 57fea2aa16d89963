"""Posteriors, densities and bounds, each against what can be worked out by hand."""

import math

import pytest
import torch

from tests.test_model import CONFIG, VOCAB, tensors
from textvae.model.bounds import Bounds, bounds, shuffled_nats
from textvae.model.collapse import is_ignored
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


def test_a_posterior_has_the_density_and_the_draws_of_its_normal() -> None:
    """By torch.distributions; a draw is the mean and sigma times the generator's noise."""
    random = torch.Generator().manual_seed(0)
    mean, logvar = torch.randn(2, 4, 3, generator=random)
    posterior = Posterior(mean, logvar)
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(5))
    samples = posterior.sample(torch.Generator().manual_seed(5))
    torch.testing.assert_close(samples, mean + logvar.exp().sqrt() * noise)
    latents = torch.randn(6, 4, 3, generator=random)
    normal = torch.distributions.Normal(mean, logvar.exp().sqrt())
    torch.testing.assert_close(posterior.log_prob(latents), normal.log_prob(latents).sum(-1))
    standard = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(prior_log_prob(latents), standard.log_prob(latents).sum(-1))
    kl = torch.distributions.kl_divergence(normal, standard)
    torch.testing.assert_close(posterior.kl(), kl)


@torch.no_grad()
@pytest.mark.parametrize(("rows", "calls"), [(1, [1] * 7), (8, [2, 2, 2, 1]), (15, [3, 3, 1])])
def test_the_bounds_are_those_of_their_draws_one_by_one(
    vae: SentenceVae, rows: int, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Means over the draws of -log p(x|z), of log q(z|x) - log p(z) and of the weights.

    However many draws of the four sentences fit the rows of a call.
    """
    monkeypatch.setattr("textvae.model.bounds.CPU_ROWS", rows)
    tokens, lengths = tensors()
    random = torch.Generator().manual_seed(1)
    means = torch.randn(2, 5, generator=random)
    fitted = Mixture(torch.tensor([0.4, 0.6]).log(), means, torch.eye(5).expand(2, 5, 5))
    found = bounds(vae, tokens, lengths, 7, torch.Generator().manual_seed(3), fitted)
    posterior, generator = vae.encode(tokens, lengths), torch.Generator().manual_seed(3)
    noise = torch.cat([torch.randn(count, 4, 5, generator=generator) for count in calls])
    draws = posterior.mean + (0.5 * posterior.logvar).exp() * noise
    nats = torch.stack([vae.nats(tokens, lengths, z) for z in draws])
    log_q = torch.stack([posterior.log_prob(z) for z in draws])
    torch.testing.assert_close(found.reconstruction, nats.mean(0))
    torch.testing.assert_close(found.kl, posterior.kl().sum(1))
    for log_p, iw_nll in (
        (torch.stack([prior_log_prob(z) for z in draws]), found.iw_nll),
        (torch.stack([fitted.log_prob(z) for z in draws]), found.fitted_iw_nll),
    ):
        weights = (-nats + log_p - log_q).double().exp()
        torch.testing.assert_close(iw_nll.double(), -weights.mean(0).log(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        found.fitted_kl, (log_q - torch.stack([fitted.log_prob(z) for z in draws])).mean(0)
    )


@torch.no_grad()
def test_without_a_fitted_prior_its_bounds_are_those_of_the_standard_one(vae: SentenceVae) -> None:
    found = bounds(vae, *tensors(), 4, torch.Generator().manual_seed(0))
    assert torch.equal(found.fitted_kl, found.kl)
    assert torch.equal(found.fitted_iw_nll, found.iw_nll)


@torch.no_grad()
def test_shuffling_gives_each_sentence_the_latent_of_the_one_before_it(vae: SentenceVae) -> None:
    tokens, lengths = tensors()
    found = shuffled_nats(vae, tokens, lengths, torch.Generator().manual_seed(2))
    latents = vae.encode(tokens, lengths).sample(torch.Generator().manual_seed(2))
    wanted = vae.nats(tokens, lengths, latents[[3, 0, 1, 2]])
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found, vae.nats(tokens, lengths, latents))


def test_a_decoder_ignores_latents_whose_shuffling_costs_less_than_a_nat() -> None:
    """And one whose cost is not a number."""
    costs = [-1.0, 0.0, 0.999, 1.0, 1.2, math.inf, math.nan]
    assert [is_ignored(cost) for cost in costs] == [True, True, True, False, False, False, True]
