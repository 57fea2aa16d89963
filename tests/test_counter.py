"""Random numbers by their address, against published answers and formulas written out."""

import math
from typing import Any

import numpy as np
import pytest

from textvae.decode.counter import Purpose, normals, uniforms, words


def addresses(*numbers: int) -> np.ndarray:
    """Return numbers as 64-bit words."""
    return np.array(numbers, np.uint64)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_an_address_is_counter_and_key_of_philox(
    counter: tuple[int, ...], key: tuple[int, ...], answer: str
) -> None:
    """The other known answers of Random123 (kat_vectors, philox4x32 10).

    The item is the lower half of the counter, then come the row, and step and purpose in one.
    """
    seed, item = addresses(key[0] | key[1] << 32), addresses(counter[0] | counter[1] << 32)
    step, purpose = addresses(counter[3] >> 2), counter[3] & 3
    found: Any = words(seed, item, addresses(counter[2]), step, purpose)  # type: ignore[arg-type]
    assert [f"{int(word):08x}" for word in found[0]] == answer.split()


def test_purposes_keep_their_numbers() -> None:
    """What a seed gives must stay the same from release to release."""
    assert [(purpose.name, int(purpose)) for purpose in Purpose] == [
        *(("LATENT", 0), ("TOKEN", 1), ("COMPONENT", 2), ("EDIT", 3))
    ]


def test_a_uniform_number_is_53_bits_of_two_words() -> None:
    items = np.arange(100, dtype=np.uint64)
    address = addresses(7), items, addresses(3), addresses(5), Purpose.TOKEN
    for number, (first, second, _, _) in zip(uniforms(*address), words(*address), strict=True):
        bits = (int(first) >> 5) << 26 | int(second) >> 6
        assert number == bits / 2**53


@pytest.mark.parametrize("width", [1, 2, 5])
def test_normals_are_those_of_box_and_muller_a_pair_for_each_step(width: int) -> None:
    found = normals(11, np.array([4, 9]), np.array([2, 6]), width)
    assert found.shape == (2, width)
    for normal, item, row in zip(found, (4, 9), (2, 6), strict=True):
        wanted: list[float] = []
        for step in range(3):
            address = (addresses(part) for part in (11, item, row, step))
            first, second = (int(word) + 0.5 for word in words(*address, Purpose.LATENT)[0][:2])
            radius = math.sqrt(-2 * math.log(first / 2**32))
            angle = 2 * math.pi * second / 2**32
            wanted += [radius * math.cos(angle), radius * math.sin(angle)]
        np.testing.assert_allclose(normal, wanted[:width], rtol=1e-9, atol=1e-12)


def test_no_normal_number_is_infinite_where_a_word_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest there can be: a word of zeros is half of a step above 0."""

    def zeros(*address: Any) -> np.ndarray:
        return np.zeros((len(address[1]), 4), np.uint64)

    monkeypatch.setattr("textvae.decode.counter.words", zeros)
    assert normals(0, addresses(1), addresses(1), 1)[0, 0] == pytest.approx(
        math.sqrt(2 * math.log(2**33))
    )
