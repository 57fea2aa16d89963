"""How much the KL weighs at each step of training."""

import math
from typing import NamedTuple

from textvae.config import TrainingConfig


def kl_weight(config: TrainingConfig, step: int) -> float:
    """The annealed weight at `step`, from `kl_start` to 1."""
    start = config.kl_start
    return start + (1.0 - start) * _risen(config, step)


def _risen(config: TrainingConfig, step: int) -> float:
    """Share of the rise done at `step`, 0 to 1."""
    if config.kl_steps <= 0:
        return 1.0
    if config.kl_schedule == "logistic":
        # Bowman et al. 2016, figure 2: a sigmoid; half risen at kl_steps / 2, 0.99 at kl_steps.
        steepness = 2 * math.log(99) / config.kl_steps
        return 1.0 / (1.0 + math.exp(-steepness * (step - config.kl_steps / 2)))
    if config.kl_schedule == "cyclical":
        # Fu et al. 2019, section 4: each cycle rises anew and then holds.
        step %= max(config.kl_cycle_steps, 1)
    return min(1.0, step / config.kl_steps)


class RateHolder(NamedTuple):
    """A factor on the KL weight that holds the KL of held-out sentences at a target.

    A proportional-integral controller as in ControlVAE (Shao et al. 2020, section 3.2), here on the
    logarithm of the weight, so that a step is a percentage and the weight never changes sign.
    Dropout and noise make a training batch's KL another than a held-out sentence's; each look at
    the held-out side says by how much.
    """

    multiplier: float = 1.0
    """The integral part: what all errors so far have made of the weight."""
    pull: float = 1.0
    """The proportional part: what the newest error makes of it."""
    smoothed_nats: float = 0.0
    """KL of training batches, averaged over about the last 20 steps."""
    offset_nats: float = 0.0
    """KL of held-out sentences minus that of training batches, averaged over the looks."""

    @property
    def factor(self) -> float:
        """What the annealed KL weight is multiplied by."""
        return self.multiplier * self.pull

    def after(self, kl_nats: float, target_nats: float, warm: bool) -> "RateHolder":
        """The holder after a step whose batch had `kl_nats`; `warm` is false at the first step."""
        smoothed = 0.95 * self.smoothed_nats + 0.05 * kl_nats if warm else kl_nats
        # Never below a third of the target, so that one odd look cannot turn the weight around.
        aim = max(target_nats - self.offset_nats, target_nats / 3)
        error = max(-1.0, min(1.0, (smoothed - aim) / target_nats))
        # 1 % a step at most: slower than the KL answers, so that the two do not swing; the pull,
        # which keeps no memory, damps what swings all the same.
        multiplier = max(1e-4, min(10.0, self.multiplier * math.exp(0.01 * error)))
        return self._replace(multiplier=multiplier, pull=math.exp(error), smoothed_nats=smoothed)

    def looked(self, held_out_kl_nats: float) -> "RateHolder":
        """The holder after a look at the held-out side."""
        seen = held_out_kl_nats - self.smoothed_nats
        # Half of the newest, for the average beside it is rough: batches differ in length.
        offset = (self.offset_nats + seen) / 2 if self.offset_nats else seen
        return self._replace(offset_nats=offset)
