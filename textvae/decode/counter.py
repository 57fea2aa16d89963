"""Random numbers that depend on nothing but their address.

A number is a function of (seed, item, row, step) and of its purpose, so a sentence is sampled
the same alone or among others, in one request or in many, today or after a restart. The function is
Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3).
"""

from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

ROUNDS = 10
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)


class Purpose(IntEnum):
    """What a number is used for; two purposes never share one."""

    LATENT = 0
    TOKEN = 1
    COMPONENT = 2
    EDIT = 3


class CounterFunctions(Protocol):
    """The compiled functions of counter.c. Pointers are addresses."""

    def philox_words(
        self,
        count: int,
        seed: int,
        item: int,
        row: int,
        step: int,
        purpose: int,
        words: int,
        /,
    ) -> None:
        """Compute four words of each address."""


def words(
    seed: Words,
    item: Words,
    row: Words,
    step: Words,
    purpose: Purpose,
    library: CounterFunctions | None = None,
) -> Words:
    """(n,) each -> (n, 4) words of 32 random bits.

    Seed and item have 64 bits, row 32, step 30. `library`: from `native`; None computes them by
    NumPy, the same to the bit.
    """
    seed, item, row, step = np.broadcast_arrays(
        *(np.asarray(v, np.uint64) for v in (seed, item, row, step))
    )
    if library is not None:
        address = [np.ascontiguousarray(part) for part in (seed, item, row, step)]
        result = np.empty((len(seed), 4), np.uint64)
        seed_at, item_at, row_at, step_at = (part.ctypes.data for part in address)
        library.philox_words(
            len(result), seed_at, item_at, row_at, step_at, purpose, result.ctypes.data
        )
        return result
    counter = [item & LOW, item >> SHIFT, row & LOW, (step << np.uint64(2)) | np.uint64(purpose)]
    key = [seed & LOW, seed >> SHIFT]
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * counter[0], MULTIPLIERS[1] * counter[2]
        counter = [
            (second >> SHIFT) ^ counter[1] ^ key[0],
            second & LOW,
            (first >> SHIFT) ^ counter[3] ^ key[1],
            first & LOW,
        ]
        key = [(part + grow) & LOW for part, grow in zip(key, KEY_STEPS, strict=True)]
    return np.stack(counter, -1)


def uniforms(
    seed: Words,
    item: Words,
    row: Words,
    step: Words,
    purpose: Purpose,
    library: CounterFunctions | None = None,
) -> npt.NDArray[np.float64]:
    """(n,) each -> (n,) numbers in [0, 1), of 53 bits; `library` as in `words`."""
    parts = words(seed, item, row, step, purpose, library)
    return ((parts[:, 0] >> np.uint64(5)) * 2.0**26 + (parts[:, 1] >> np.uint64(6))) * 2.0**-53


def numbers_are_right(library: CounterFunctions) -> bool:
    """Return whether C gives the same numbers, to the bit."""
    few = np.arange(8, dtype=np.uint64)
    seed, item, step = (few * np.uint64(part) for part in (2**59 + 7, 2**60 - 3, 2**26))
    wanted = words(seed, item, few, step, Purpose.TOKEN)
    return np.array_equal(words(seed, item, few, step, Purpose.TOKEN, library), wanted)


def normals(
    seed: int, items: Words, rows: Words, width: int, library: CounterFunctions | None = None
) -> npt.NDArray[np.float64]:
    """(n,) items and rows -> (n, width) standard normal numbers for latents (Box & Muller 1958).

    `library` as in `words`.
    """
    items, rows = np.broadcast_arrays(np.asarray(items, np.uint64), np.asarray(rows, np.uint64))
    pairs = -(-width // 2)
    blocks = np.tile(np.arange(pairs, dtype=np.uint64), len(items))
    parts = words(
        np.array([seed], np.uint64),
        np.repeat(items, pairs),
        np.repeat(rows, pairs),
        blocks,
        Purpose.LATENT,
        library,
    )
    # Halves of a step above 0 keep the logarithm finite.
    radius = np.sqrt(-2.0 * np.log((parts[:, 0] + 0.5) * 2.0**-32))
    angle = 2.0 * np.pi * ((parts[:, 1] + 0.5) * 2.0**-32)
    both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return both.reshape(len(items), 2 * pairs)[:, :width]
