"""The device of a network."""

import torch

from textvae.errors import InputError


def check_device(field: str, device: str) -> None:
    """Raise InputError for `cuda` where torch has no such device; `field` is the setting."""
    if device != "cuda" or torch.cuda.is_available():
        return
    why = "this torch is built without CUDA"
    if torch.version.cuda:
        why = "torch finds no CUDA device or no driver for it"
    raise InputError(field, f"must be cpu on this machine, got cuda; {why}")
