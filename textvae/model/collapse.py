"""The one test for a collapsed posterior, during a run and for a finished version."""

from textvae.config.evaluation import SHUFFLE_NATS_MIN


def is_ignored(shuffle_nats: float) -> bool:
    """Return whether the decoder ignores its latent.

    `shuffle_nats`: what reconstruction loses when sentences swap their latents, in nats per
    sentence. KL and active units cannot show it: a BatchNorm on the means keeps both up in front of
    a decoder that ignores them. A figure that is not a number counts as ignored.
    """
    return not shuffle_nats >= SHUFFLE_NATS_MIN
