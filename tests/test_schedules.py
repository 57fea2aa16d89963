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


def test_a_logistic_rise_is_a_hundredth_at_its_start_and_a_half_in_its_middle() -> None:
    """1 / (1 + exp(-k * (step - kl_steps / 2))), with k so that it ends a hundredth short of 1."""
    config = TrainingConfig(kl_schedule="logistic", kl_start=0.0, kl_steps=80)
    for step, weight in {0: 0.01, 40: 0.5, 80: 0.99}.items():
        assert kl_weight(config, step) == pytest.approx(weight, rel=1e-9)
    assert kl_weight(config, 60) == pytest.approx(1 / (1 + 99**-0.5), rel=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "logistic", "cyclical"])
def test_without_steps_of_annealing_the_kl_weighs_one_from_the_start(schedule: str) -> None:
    config = TrainingConfig(kl_schedule=schedule, kl_start=0.3, kl_steps=0)  # type: ignore[arg-type]
    assert [kl_weight(config, step) for step in (0, 1, 50)] == [1.0, 1.0, 1.0]


def test_one_step_of_annealing_begins_at_the_start_weight() -> None:
    config = TrainingConfig(kl_schedule="linear", kl_start=0.3, kl_steps=1)
    assert [kl_weight(config, step) for step in (0, 1)] == [0.3, 1.0]


def test_a_cycle_that_only_rises_begins_again_before_it_reaches_one() -> None:
    config = TrainingConfig(kl_schedule="cyclical", kl_start=0.0, kl_steps=2, kl_cycle_steps=2)
    assert [kl_weight(config, step) for step in range(5)] == [0.0, 0.5, 0.0, 0.5, 0.0]


def test_an_error_moves_the_weight_by_its_0_3rd_power_for_good_and_its_0_5th_once() -> None:
    """Of the KL over its target; what the newest error adds is gone after the next read."""
    controller = KLController(multiplier=2.0)
    assert controller.factor == 2.0
    high = controller.after(20.0, target_nats=16.0)
    assert high.multiplier == pytest.approx(2.0 * 1.25**0.3)
    assert high.factor == pytest.approx(2.0 * 1.25**0.8)
    on_target = high.after(16.0, target_nats=16.0)
    assert on_target.factor == pytest.approx(2.0 * 1.25**0.3)
    low = controller.after(8.0, target_nats=16.0)
    assert low.factor == pytest.approx(2.0 * 0.5**0.8)


def test_a_new_controller_leaves_the_weight_alone() -> None:
    assert KLController().factor == 1.0


def test_the_error_counts_up_to_a_factor_of_e_and_the_weight_stays_in_its_range() -> None:
    assert KLController().after(1e9, 16.0).factor == pytest.approx(math.exp(0.8))
    assert KLController().after(2.7 * 16.0, 16.0).factor == pytest.approx(2.7**0.8)
    high = low = KLController()
    for _ in range(100):
        high, low = high.after(1e9, 16.0), low.after(0.0, 16.0)
    assert high.multiplier == pytest.approx(10.0)
    assert low.multiplier == pytest.approx(1e-4)


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
