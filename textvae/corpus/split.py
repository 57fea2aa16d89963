"""The split: a hash decides which side a sentence is on, so the side never changes."""

import hashlib
from typing import Literal

Side = Literal["train", "valid", "test"]

SIDES: tuple[Side, ...] = ("train", "valid", "test")


def side_of(key: str, valid_share: float, test_share: float) -> Side:
    """Return the side of a key (the group where there is one, else the normalised sentence).

    It depends on nothing else: not on order, other keys, machine or run. The test side is the low
    end of the hash's range and the validation side the high end, so that changing one share moves
    no key between these two (shares up to 0.5 each).
    """
    digest = hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest()
    fraction = int.from_bytes(digest, "big") / 2**64  # 0 to 1
    if fraction < test_share:
        return "test"
    if fraction >= 1 - valid_share:
        return "valid"
    return "train"
