"""Paths through latents: the homotopies of Bowman et al. 2016."""

from typing import Literal, NamedTuple

import numpy as np

# Below this angle, in radians, a great circle is a line and sin(angle) is too small to divide by.
ANGLE_MIN = 1e-4


class LatentPath(NamedTuple):
    """Places along a path and the latents there."""

    positions: np.ndarray
    """(steps,) 0 at the first point, 1 at the last."""
    latents: np.ndarray
    """(steps, latent)"""


def path(points: np.ndarray, steps: int, kind: Literal["lerp", "slerp"]) -> LatentPath:
    """(points, latent) -> `steps` latents through the points, ends included, evenly spaced.

    Every part between two neighbouring points is equally long in position. A place that falls on a
    point is that point to the bit.
    """
    assert min(len(points), steps) >= 2, f"got {len(points)} points, {steps} steps"
    between = lerp if kind == "lerp" else slerp
    exact = points.astype(np.float64)
    parts = len(points) - 1
    latents = []
    for step in range(steps):
        # Integers, so that the ends and every point that is met are met exactly.
        part, rest = divmod(step * parts, steps - 1)
        if rest == 0:
            latents.append(points[part])
        else:
            latents.append(between(exact[part], exact[part + 1], rest / (steps - 1)))
    positions = np.arange(steps) / (steps - 1)
    return LatentPath(positions, np.stack(latents).astype(np.float32))


def lerp(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """(latent,) twice -> (latent,): start + share * (end - start)."""
    return np.asarray(start + share * (end - start))


def slerp(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """(latent,) twice -> (latent,): on the great circle (Shoemake 1985), length changing evenly.

    A point without a direction (all zeros), equal directions and opposite ones, which have no one
    great circle, take the straight line.
    """
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) == 0:
        return lerp(start, end, share)
    first, last = start / lengths[0], end / lengths[1]
    angle = np.arccos(np.clip(first @ last, -1.0, 1.0))
    if angle < ANGLE_MIN or np.pi - angle < ANGLE_MIN:
        return lerp(start, end, share)
    turned = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)
    return np.asarray(turned * (lengths[0] + share * (lengths[1] - lengths[0])))
