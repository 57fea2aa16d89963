"""Bounds on log p(x) under the VAE: the ELBO and the tighter importance-weighted bound."""

from typing import NamedTuple

import torch
from torch import Tensor

from textvae.latent.gaussian import iw_nll_of_tensors
from textvae.model.network import SentenceVae
from textvae.model.posterior import Mixture, Posterior, prior_log_prob

# Rows of one decoder call: as many as fill a GPU; a CPU is full with one draw of a batch.
CPU_ROWS, GPU_ROWS = 1, 2048


class Bounds(NamedTuple):
    """(batch,) nats of each sentence, at KL weight 1 and without dropout."""

    reconstruction: Tensor
    """Mean over the samples of -log p(x|z)."""
    kl: Tensor
    """KL(q(z|x) || N(0, I)) in closed form."""
    iw_nll: Tensor
    """-log of the mean importance weight (Burda et al. 2016, equation 8); at most the -ELBO."""
    fitted_kl: Tensor
    """Mean over the samples of log q(z|x) - log p(z), p the fitted prior; `kl` without one."""
    fitted_iw_nll: Tensor
    """As `iw_nll`, p the fitted prior; `iw_nll` without one."""


@torch.no_grad()
def bounds(
    model: SentenceVae,
    tokens: Tensor,
    lengths: Tensor,
    samples: int,
    generator: torch.Generator,
    fitted: Mixture | None = None,
) -> Bounds:
    """(batch, time), (batch,) -> Bounds from `samples` draws of each posterior."""
    posterior = model.encode(tokens, lengths)
    draws = max(1, (GPU_ROWS if tokens.is_cuda else CPU_ROWS) // len(tokens))
    parts = []
    for first in range(0, samples, draws):
        count = min(draws, samples - first)
        repeated = Posterior(*(part.expand(count, *part.shape) for part in posterior))
        latents = repeated.sample(generator)
        log_likelihood = -model.nats(
            tokens.repeat(count, 1), lengths.repeat(count), latents.flatten(0, 1)
        ).view(count, -1)
        log_q = posterior.log_prob(latents)
        log_ratio = prior_log_prob(latents) - log_q
        fitted_log_ratio = fitted.log_prob(latents) - log_q if fitted else log_ratio
        parts.append(torch.stack([log_likelihood, log_ratio, fitted_log_ratio]))
    log_likelihood, log_ratio, fitted_log_ratio = torch.cat(parts, 1)
    # log w = log p(x|z) + log p(z) - log q(z|x)
    iw_nll = iw_nll_of_tensors(log_likelihood + log_ratio)
    fitted_iw_nll = iw_nll_of_tensors(log_likelihood + fitted_log_ratio)
    kl = posterior.kl().sum(1)
    fitted_kl = -fitted_log_ratio.mean(0) if fitted else kl
    return Bounds(-log_likelihood.mean(0), kl, iw_nll, fitted_kl, fitted_iw_nll)


@torch.no_grad()
def shuffled_nats(
    model: SentenceVae, tokens: Tensor, lengths: Tensor, generator: torch.Generator
) -> Tensor:
    """(batch, time), (batch,) -> (batch,) reconstruction nats under the next sentence's latent.

    A decoder that ignores its latent loses nothing by this.
    """
    latents = model.encode(tokens, lengths).sample(generator).roll(1, 0)
    return model.nats(tokens, lengths, latents)
