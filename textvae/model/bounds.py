"""How likely a sentence is under the VAE: the ELBO and the tighter importance-weighted bound."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from textvae.model.network import SentenceVae
from textvae.model.posterior import prior_log_prob


class Bounds(NamedTuple):
    """(batch,) nats of each sentence, at KL weight 1 and without dropout."""

    reconstruction: Tensor
    """Mean over the samples of -log p(x|z)."""
    kl: Tensor
    """Closed form."""
    iw_nll: Tensor
    """-log of the mean importance weight (Burda et al. 2016, equation 8); at most the -ELBO."""


@torch.no_grad()
def bounds(
    model: SentenceVae, tokens: Tensor, lengths: Tensor, samples: int, generator: torch.Generator
) -> Bounds:
    """(batch, time), (batch,) -> Bounds from `samples` draws of each posterior."""
    posterior = model.encode(tokens, lengths)
    weights, likelihoods = [], []
    for _ in range(samples):
        latents = posterior.sample(generator)
        likelihood = -model.nats(tokens, lengths, latents)
        likelihoods.append(likelihood)
        weights.append(likelihood + prior_log_prob(latents) - posterior.log_prob(latents))
    iw_nll = math.log(samples) - torch.logsumexp(torch.stack(weights), 0)
    return Bounds(-torch.stack(likelihoods).mean(0), posterior.kl().sum(1), iw_nll)


@torch.no_grad()
def shuffled_nats(
    model: SentenceVae, tokens: Tensor, lengths: Tensor, generator: torch.Generator
) -> Tensor:
    """(batch, time), (batch,) -> (batch,) reconstruction nats under the next sentence's latent.

    A decoder that ignores its latent loses nothing by this.
    """
    latents = model.encode(tokens, lengths).sample(generator).roll(1, 0)
    return model.nats(tokens, lengths, latents)
