"""Paths through latents: every latent of a path, against the formulas written out."""

import numpy as np
import pytest

from textvae.latent.paths import lerp, path, slerp

RANDOM = np.random.default_rng(1)


def draw(*shape: int) -> np.ndarray:
    """Return standard normal float32 numbers."""
    return RANDOM.standard_normal(shape).astype(np.float32)


def on_arc(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """Return the point by a rotation in the plane of start and end, by `share` of their angle."""
    start, end = start.astype(np.float64), end.astype(np.float64)
    length_start, length_end = np.sqrt((start**2).sum()), np.sqrt((end**2).sum())
    axis = start / length_start
    across = end - (end @ axis) * axis
    across = across / np.sqrt((across**2).sum())
    angle = np.arctan2(end @ across, end @ axis)
    direction = np.cos(share * angle) * axis + np.sin(share * angle) * across
    return direction * ((1 - share) * length_start + share * length_end)


def on_line(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """Return the weighted mean of the two."""
    return (1 - share) * start.astype(np.float64) + share * end.astype(np.float64)


@pytest.mark.parametrize("kind", ["lerp", "slerp"])
@pytest.mark.parametrize(("points", "steps"), [(2, 5), (2, 8), (3, 6), (3, 9), (4, 5), (5, 30)])
def test_latents_inside_a_path_follow_the_formula_at_evenly_spaced_positions(
    kind: str, points: int, steps: int
) -> None:
    """Position p lies p * (points - 1) segments after the first point."""
    through = draw(points, 7)
    found = path(through, steps, kind)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.positions, [step / (steps - 1) for step in range(steps)])
    assert found.latents.dtype == np.float32
    formula = on_line if kind == "lerp" else on_arc
    for position, latent in zip(found.positions, found.latents, strict=True):
        segments = position * (points - 1)
        segment = min(int(segments + 1e-9), points - 2)
        wanted = formula(through[segment], through[segment + 1], segments - segment)
        np.testing.assert_allclose(latent, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["lerp", "slerp"])
def test_a_path_meets_every_point_that_a_position_falls_on_to_the_bit(kind: str) -> None:
    through = draw(4, 6)
    found = path(through, 7, kind)  # type: ignore[arg-type]
    assert np.array_equal(found.latents[::2], through)


def test_a_path_needs_two_points_and_two_steps() -> None:
    for points, steps in ((1, 5), (2, 1)):
        with pytest.raises(AssertionError, match=f"got {points} points, {steps} steps"):
            path(draw(points, 3), steps, "lerp")


def test_steps_along_an_arc_turn_by_equal_angles() -> None:
    latents = path(draw(2, 5), 11, "slerp").latents.astype(np.float64)
    units = latents / np.linalg.norm(latents, axis=1, keepdims=True)
    angles = np.arccos((units[:-1] * units[1:]).sum(1))
    np.testing.assert_allclose(angles, angles[0], rtol=1e-4)
    assert angles[0] > 0.01


@pytest.mark.parametrize("factor", [1.0, 3.0, -2.0, 0.0])
def test_points_without_one_great_circle_take_the_straight_line(factor: float) -> None:
    """Equal and opposite directions, whose cosine rounding may put past 1, and zeros on a side."""
    for _ in range(50):
        start = draw(6).astype(np.float64)
        end = factor * start
        np.testing.assert_allclose(slerp(start, end, 0.3), on_line(start, end, 0.3), atol=1e-9)
        np.testing.assert_allclose(slerp(end, start, 0.3), on_line(end, start, 0.3), atol=1e-9)


def test_almost_opposite_points_take_the_arc_from_a_ten_thousandth_of_a_radian_on() -> None:
    """On the line between them the middle is almost zero, on the arc it has their length."""
    start = np.array([1.0, 0.0])
    for short_of_half_a_turn, length in ((0.8e-4, 0.0), (1.2e-4, 1.0)):
        angle = np.pi - short_of_half_a_turn
        middle = slerp(start, np.array([np.cos(angle), np.sin(angle)]), 0.5)
        assert float(np.linalg.norm(middle)) == pytest.approx(length, abs=1e-3)


def test_a_share_of_a_line_counts_from_its_start() -> None:
    start, end = np.array([0.0, 4.0]), np.array([10.0, 0.0])
    np.testing.assert_allclose(lerp(start, end, 0.25), [2.5, 3.0])
