"""Paths through latents: the homotopies of Bowman et al. 2016."""

from typing import Literal, NamedTuple

import numpy as np

# Below this angle, in radians, a great circle is a line and sin(angle) is too small to divide by.
ANGLE_MIN = 1e-4


class LatentPath(NamedTuple):
    """Positions along a path and the latents at them."""

    positions: np.ndarray
    """(steps,) 0 at the first point, 1 at the last."""
    latents: np.ndarray
    """(steps, latent)"""


def path(points: np.ndarray, steps: int, kind: Literal["lerp", "slerp"]) -> LatentPath:
    """(points, latent) -> LatentPath of `steps` latents through the points, ends included.

    Positions are evenly spaced, and every segment between two points is equally long in position.
    A position that falls on a point has that point to the bit.
    """
    assert min(len(points), steps) >= 2, f"got {len(points)} points, {steps} steps"
    interpolate = lerp if kind == "lerp" else slerp
    exact = points.astype(np.float64)
    segments = len(points) - 1
    latents = []
    for step in range(steps):
        # Integers, so that a position on a point is recognized exactly.
        segment, rest = divmod(step * segments, steps - 1)
        if rest == 0:
            latents.append(points[segment])
        else:
            latents.append(interpolate(exact[segment], exact[segment + 1], rest / (steps - 1)))
    positions = np.arange(steps) / (steps - 1)
    return LatentPath(positions, np.stack(latents).astype(np.float32))


def lerp(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """(latent,) twice -> (latent,): start + share * (end - start)."""
    return np.asarray(start + share * (end - start))


def slerp(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """(latent,) twice -> (latent,): along the great circle (Shoemake 1985), the length linear.

    A point without a direction (all zeros), equal directions and opposite ones, which have no
    unique great circle, take the straight line.
    """
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) == 0:
        return lerp(start, end, share)
    first, last = start / lengths[0], end / lengths[1]
    angle = np.arccos(np.clip(first @ last, -1.0, 1.0))
    if angle < ANGLE_MIN or np.pi - angle < ANGLE_MIN:
        return lerp(start, end, share)
    direction = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)
    return np.asarray(direction * (lengths[0] + share * (lengths[1] - lengths[0])))
