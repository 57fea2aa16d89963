"""What training makes smaller; every part in nats per sentence."""

from typing import Literal, NamedTuple

from torch import Tensor

from textvae.model.network import DropoutSpec, SentenceVae


class Loss(NamedTuple):
    """Means over a batch."""

    total: Tensor
    """() what is differentiated."""
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
    dropped: DropoutSpec,
) -> Loss:
    """(batch, time), (batch,) -> Loss: reconstruction + kl_weight * KL, or one of the two alone.

    A dimension whose mean KL is under `free_bits` nats feels no pressure (Kingma et al. 2016,
    appendix C.8).
    """
    posterior = model.encode(tokens, lengths, dropped)
    kl = posterior.kl().mean(0)
    if objective == "kl-only":
        return Loss(kl.sum(), kl.new_zeros(()), kl)
    latents = posterior.mean if objective == "autoencoder" else posterior.sample(dropped.generator)
    reconstruction = model.mean_nats(tokens, lengths, latents, dropped)
    if objective == "autoencoder":
        return Loss(reconstruction, reconstruction, kl)
    pressed = kl.clamp(min=free_bits) if free_bits > 0 else kl
    return Loss(reconstruction + kl_weight * pressed.sum(), reconstruction, kl)
