"""Ranges of settings."""

import math

from textvae.errors import InputError

SEED_MAX = 2**32 - 1  # what every generator of random numbers takes


def check(
    config: object, section: str, names: tuple[str, ...], low: float, high: float = math.inf
) -> None:
    """InputError naming the first field that is not finite and within low to high."""
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high or math.isinf(value):
            most = f"{low} or more" if math.isinf(high) else f"{low} to {high}"
            raise InputError(f"{section}.{name}", f"must be {most}, got {value}")
