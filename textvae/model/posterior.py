"""The posterior of a sentence: a diagonal Gaussian over latents."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Posterior(NamedTuple):
    """q(z|x) of a batch of sentences, (batch, latent) each."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """One draw a sentence: (batch, latent) (Kingma & Welling 2014, section 2.4)."""
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean.device)
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def kl(self) -> Tensor:
        """KL(q(z|x) || N(0, I)) per dimension: (batch, latent) nats (same paper, appendix B)."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1.0 - self.logvar)

    def log_prob(self, latents: Tensor) -> Tensor:
        """(..., batch, latent) -> (..., batch) log-density in nats."""
        scaled = (latents - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (scaled + self.logvar + math.log(2 * math.pi)).sum(-1)


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
            terms.append(constant - 0.5 * (scaled.square() + math.log(2 * math.pi)).sum(-1))
        return torch.logsumexp(torch.stack(terms), 0)


def prior_log_prob(latents: Tensor) -> Tensor:
    """(..., latent) -> (...) log-density under N(0, I), in nats."""
    return -0.5 * (latents.square() + math.log(2 * math.pi)).sum(-1)
