"""The training loss; every part in nats per sentence."""

from typing import Literal, NamedTuple

from torch import Tensor

from textvae.model.network import DropoutSpec, SentenceVae


class Loss(NamedTuple):
    """Means over a batch."""

    total: Tensor
    """() the part with a gradient."""
    reconstruction: Tensor
    """() nats per sentence."""
    kl: Tensor
    """(latent,) nats per sentence of each dimension."""


def vae_loss(
    model: SentenceVae,
    tokens: Tensor,
    lengths: Tensor,
    *,
    objective: Literal["vae", "autoencoder", "kl-only"],
    kl_weight: float,
    free_bits: float,
    dropout: DropoutSpec,
    read: tuple[Tensor, Tensor] | None = None,
) -> Loss:
    """(batch, time), (batch,) -> Loss: -E_q log p(x|z) + kl_weight * KL, or one of the two alone.

    q is the posterior of x itself or, where `read` is given, of the tokens (batch, time) and
    lengths (batch,) there: a sibling of each sentence.
    With free bits lambda the KL is sum_d max(lambda, mean KL_d), so a dimension below `free_bits`
    nats has no gradient (Kingma et al. 2016, appendix C.8).
    """
    posterior = model.encode(*(read or (tokens, lengths)), dropout)
    kl = posterior.kl().mean(0)
    if objective == "kl-only":
        return Loss(kl.sum(), kl.new_zeros(()), kl)
    latents = posterior.mean if objective == "autoencoder" else posterior.sample(dropout.generator)
    reconstruction = model.mean_nats(tokens, lengths, latents, dropout)
    if objective == "autoencoder":
        return Loss(reconstruction, reconstruction, kl)
    kl_terms = kl.clamp(min=free_bits) if free_bits > 0 else kl
    return Loss(reconstruction + kl_weight * kl_terms.sum(), reconstruction, kl)
