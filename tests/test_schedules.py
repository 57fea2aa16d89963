"""The KL weight as its schedule says, and the controller that keeps the KL at a target."""

import math

import pytest

from textvae.config.training import TrainingConfig
from textvae.model.schedules import RATE_STEPS, KLController, kl_weight


@pytest.mark.parametrize(
    ("schedule", "weights"),
    [
        ("linear", {0: 0.1, 50: 0.55, 100: 1.0, 300: 1.0}),
        ("logistic", {0: 0.109, 50: 0.55, 100: 0.991, 300: 1.0}),
        ("cyclical", {0: 0.1, 50: 0.55, 150: 1.0, 200: 0.1, 250: 0.55}),
    ],
)
def test_the_kl_weight_rises_as_its_schedule_says(schedule: str, weights: dict[int, float]) -> None:
    config = TrainingConfig(
        kl_schedule=schedule,  # type: ignore[arg-type]
        kl_start=0.1,
        kl_steps=100,
        kl_cycle_steps=200,
    )
    for step, weight in weights.items():
        assert kl_weight(config, step) == pytest.approx(weight, abs=1e-3)


def final_kl(target: float, steepness: float, drift: float, start: float) -> float:
    """Return the KL of a plant that answers the weight within some 30 steps, after 1,500 steps.

    `drift` is by how much of itself a step's learning raises the KL that a weight leads to.
    """
    controller, kl = KLController(multiplier=start), 10.0
    for step in range(1500):
        aim = 8.0 * controller.factor**-steepness * math.exp(drift * step)
        kl += (min(60.0, aim) - kl) / 30
        if step % RATE_STEPS == RATE_STEPS - 1:
            controller = controller.after(kl, target)
    return kl


@pytest.mark.parametrize("start", [0.01, 10.0])
@pytest.mark.parametrize("steepness", [0.4, 1.0, 2.0])
def test_the_controller_moves_the_kl_to_its_target_from_either_side(
    steepness: float, start: float
) -> None:
    assert final_kl(16.0, steepness, drift=0.0, start=start) == pytest.approx(16.0, rel=0.01)


def test_the_kl_stays_at_its_target_while_the_model_learns() -> None:
    assert final_kl(16.0, 0.4, drift=2.5e-4, start=1.0) == pytest.approx(16.0, rel=0.03)


def test_one_outlier_of_the_kl_moves_the_weight_by_a_bounded_factor() -> None:
    assert KLController().after(1e9, 16.0).factor == KLController().after(100.0, 16.0).factor
    assert KLController().after(0.0, 16.0).factor == pytest.approx(
        1 / KLController().after(1e9, 16.0).factor
    )
