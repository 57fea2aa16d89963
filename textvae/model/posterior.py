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
        noise = torch.randn(self.mean.shape, generator=generator)
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def kl(self) -> Tensor:
        """KL(q(z|x) || N(0, I)) per dimension: (batch, latent) nats (same paper, appendix B)."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1.0 - self.logvar)

    def log_prob(self, latents: Tensor) -> Tensor:
        """(..., batch, latent) -> (..., batch) log-density in nats."""
        scaled = (latents - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (scaled + self.logvar + math.log(2 * math.pi)).sum(-1)


def prior_log_prob(latents: Tensor) -> Tensor:
    """(..., latent) -> (...) log-density under N(0, I), in nats."""
    return -0.5 * (latents.square() + math.log(2 * math.pi)).sum(-1)
