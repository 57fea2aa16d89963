"""The posterior of a sentence: a diagonal Gaussian over latents."""

from typing import NamedTuple

import torch
from torch import Tensor

from textvae.latent import gaussian
from textvae.latent.gaussian import LOG_2_PI


class Posterior(NamedTuple):
    """q(z|x) of a batch of sentences, (batch, latent) each."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """Draw z = mu + sigma * epsilon, one of each sentence: (batch, latent).

        The reparameterization of Kingma & Welling 2014, section 2.4.
        """
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean.device)
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def kl(self) -> Tensor:
        """Return the KL to N(0, I) of each dimension, (batch, latent) nats; see `gaussian.kl`."""
        return gaussian.kl(self.mean, self.logvar, self.logvar.exp())

    def log_prob(self, latents: Tensor) -> Tensor:
        """(..., batch, latent) -> (..., batch) log q(z|x) in nats."""
        precision = torch.exp(-self.logvar)
        each = gaussian.log_density(latents, self.mean, self.logvar, precision)
        return (each - 0.5 * LOG_2_PI).sum(-1)


class Mixture(NamedTuple):
    """A density over latents: a mixture of Gaussians, as tensors."""

    log_weights: Tensor
    """(components,) of which the exponentials sum to 1."""
    means: Tensor
    """(components, latent)"""
    whitening: Tensor
    """(components, latent, latent) inverses of the lower Cholesky factors of the covariances."""

    def log_prob(self, latents: Tensor) -> Tensor:
        """(..., latent) -> (...) log-density in nats."""
        terms = []
        for log_weight, mean, whitening in zip(*self, strict=True):
            scaled = (latents - mean) @ whitening.T
            constant = log_weight + whitening.diagonal().log().sum()
            terms.append(constant - 0.5 * (scaled.square() + LOG_2_PI).sum(-1))
        return torch.logsumexp(torch.stack(terms), 0)


def prior_log_prob(latents: Tensor) -> Tensor:
    """(..., latent) -> (...) log N(z; 0, I) in nats."""
    return -0.5 * (latents.square() + LOG_2_PI).sum(-1)
