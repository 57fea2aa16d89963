"""Which side of the split a sentence is on: a hash decides, so it is decided for ever."""

import hashlib
from typing import Literal

Side = Literal["train", "valid", "test"]

SIDES: tuple[Side, ...] = ("train", "valid", "test")


def side_of(key: str, valid_share: float, test_share: float) -> Side:
    """The side of a key (the group where there is one, else the normalised sentence).

    Depends on nothing else: not on order, other keys, machine or run. The test side is the low end
    of the hash's range and the validation side the high end, so that changing one share moves no
    key between these two (shares up to 0.5 each).
    """
    digest = hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64  # 0 to 1
    if place < test_share:
        return "test"
    if place >= 1 - valid_share:
        return "valid"
    return "train"
