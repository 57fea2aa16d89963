"""The weight of the KL at each step of training."""

import math
from typing import NamedTuple

from textvae.config.training import TrainingConfig

# Steps between two reads of the held-out KL, which answers a change of its weight within tens.
RATE_STEPS = 10
# The gains on the logarithm of the KL over its target: the integral part follows the KL's
# drift while the model learns, the proportional part, which has no memory, damps the swing.
INTEGRAL_GAIN = 0.3
PROPORTIONAL_GAIN = 0.5
# A KL far from its target, as before the decoder uses the latent, says little about its weight.
ERROR_MAX = 1.0
MULTIPLIER_RANGE = (1e-4, 10.0)


def kl_weight(config: TrainingConfig, step: int) -> float:
    """Return the annealed weight at `step`, from `kl_start` to 1."""
    start = config.kl_start
    return start + (1.0 - start) * _rise(config, step)


def _rise(config: TrainingConfig, step: int) -> float:
    """Return the share of the rise that is done at `step`, 0 to 1."""
    if config.kl_steps <= 0:
        return 1.0
    if config.kl_schedule == "logistic":
        # Bowman et al. 2016, figure 2: a sigmoid; half at kl_steps / 2, 0.99 at kl_steps.
        steepness = 2 * math.log(99) / config.kl_steps
        return 1.0 / (1.0 + math.exp(-steepness * (step - config.kl_steps / 2)))
    if config.kl_schedule == "cyclical":
        # Fu et al. 2019, section 4: each cycle rises anew and then holds.
        step %= config.kl_cycle_steps
    return min(1.0, step / config.kl_steps)


class KLController(NamedTuple):
    """A controller of the KL weight that keeps the KL of held-out sentences at a target.

    A proportional-integral controller as in ControlVAE (Shao et al. 2020, section 3.2), here on the
    logarithm of the weight, so that a step is a percentage and the weight never changes sign. Its
    input is the KL of sentences as they will be encoded: that of a training batch differs by
    dropout, noise and the length of its sentences.
    """

    multiplier: float = 1.0
    """The integral part: the product of what all errors so far contributed."""
    pull: float = 1.0
    """The proportional part: what the newest error contributes."""

    @property
    def factor(self) -> float:
        """Return the factor on the annealed KL weight."""
        return self.multiplier * self.pull

    def after(self, kl_nats: float, target_nats: float) -> "KLController":
        """Return the controller after a read of the held-out KL, every RATE_STEPS steps."""
        error = math.log(max(kl_nats, 1e-6) / target_nats)
        error = max(-ERROR_MAX, min(ERROR_MAX, error))
        multiplier = self.multiplier * math.exp(INTEGRAL_GAIN * error)
        multiplier = max(MULTIPLIER_RANGE[0], min(MULTIPLIER_RANGE[1], multiplier))
        return KLController(multiplier, math.exp(PROPORTIONAL_GAIN * error))
