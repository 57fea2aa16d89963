"""The one test for a collapsed posterior, asked during a run and of a finished version."""

from textvae.config.evaluation import SHUFFLE_NATS_MIN


def is_ignored(shuffle_nats: float) -> bool:
    """Whether the decoder ignores its latent.

    `shuffle_nats`: what reconstruction loses when sentences swap their latents, in nats per
    sentence. KL and active units cannot tell: a BatchNorm on the means holds both up in front of a
    decoder that does not listen. A figure that is not a number is no proof of a listener.
    """
    return not shuffle_nats >= SHUFFLE_NATS_MIN
