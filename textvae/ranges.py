"""Checks of ranges: a setting or request field that is outside its range is an InputError."""

import math

from textvae.errors import InputError

SEED_MAX = 2**32 - 1
"""Largest seed of a setting: the generators of torch, NumPy and scikit-learn all take it."""


def check_settings(
    config: object, section: str, names: tuple[str, ...], low: float, high: float = math.inf
) -> None:
    """Raise InputError naming the first field that is not finite and within low to high."""
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high or math.isinf(value):
            most = f"{low} or more" if math.isinf(high) else f"{low} to {high}"
            raise InputError(f"{section}.{name}", f"must be {most}, got {value}")


def check_within(name: str, value: float, low: float, high: float, noun: str = "") -> None:
    """Raise InputError unless low <= value <= high; NaN is outside."""
    if not low <= value <= high:
        noun = f" {noun}" if noun else ""
        raise InputError(name, f"must be {low} to {high}{noun}, got {value}")
