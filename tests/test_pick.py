"""Counter-based numbers, and picking tokens with them, by C and by torch."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.compiled import load_decode_native
from textvae.decode.counter import Purpose, normals, uniforms, words
from textvae.decode.pick import Picking, log_sums, pick


def addresses(*numbers: int) -> np.ndarray:
    """Numbers as 64-bit words."""
    return np.array(numbers, np.uint64)


def test_the_counter_is_philox() -> None:
    """The known answers of Random123 (kat_vectors, philox4x32 10) for counter and key 0."""
    zero = addresses(0)
    found = words(zero, zero, zero, zero, Purpose.LATENT)[0]
    assert [f"{int(word):08x}" for word in found] == [
        "6627e8d5",
        "e169c58d",
        "bc57ac4c",
        "9b00dbd8",
    ]


def test_numbers_in_c_are_the_same_to_the_bit() -> None:
    """For all parts of an address that may be large, and arrays that are parts of others."""
    random = np.random.default_rng(0)
    seed, item = random.integers(0, 2**64, (2, 1000), np.uint64)
    row, step = (
        random.integers(0, 2**32, 2000, np.uint64)[::2],
        random.integers(0, 2**30, 1000, np.uint64),
    )
    for purpose in Purpose:
        for draw in (words, uniforms):
            found = draw(seed, item, row, step, purpose, load_decode_native())
            assert np.array_equal(found, draw(seed, item, row, step, purpose))
    assert np.array_equal(normals(7, item, row, 9, load_decode_native()), normals(7, item, row, 9))


def test_every_part_of_an_address_gives_another_number() -> None:
    base = (7, 8, 9, 10)
    found = {float(uniforms(*(addresses(part) for part in base), Purpose.TOKEN)[0])}
    for index in range(4):
        changed = [addresses(part + (number == index)) for number, part in enumerate(base)]
        found.add(float(uniforms(*changed, Purpose.TOKEN)[0]))
    found.add(float(uniforms(*(addresses(part) for part in base), Purpose.COMPONENT)[0]))
    found.add(
        float(
            uniforms(
                addresses(7), addresses(8 + 2**32), addresses(9), addresses(10), Purpose.TOKEN
            )[0]
        )
    )
    assert len(found) == 7


def test_uniforms_and_normals_are_distributed_as_they_say() -> None:
    many = np.arange(40_000, dtype=np.uint64)
    zero = np.zeros_like(many)
    found = uniforms(zero, many, zero, zero, Purpose.TOKEN)
    assert 0 <= found.min() < found.max() < 1
    assert np.histogram(found, 10, (0, 1))[0] == pytest.approx(np.full(10, 4000), rel=0.06)
    draws = normals(0, many[:5000], zero[:5000], 7)
    assert draws.shape == (5000, 7)
    assert float(draws.mean()) == pytest.approx(0, abs=0.02)
    assert float(draws.std()) == pytest.approx(1, rel=0.02)
    assert float(np.abs(np.corrcoef(draws.T) - np.eye(7)).max()) < 0.06


def test_a_latent_does_not_depend_on_other_latents() -> None:
    together = normals(3, np.arange(9), np.zeros(9), 5)
    assert np.array_equal(normals(3, np.array([4]), np.zeros(1), 5)[0], together[4])


@pytest.fixture(params=["compiled", "torch"])
def library(request: pytest.FixtureRequest) -> Any:
    """Return the compiled functions, and None."""
    return None if request.param == "torch" else load_decode_native()


def picking(
    temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, rows: int = 1
) -> Picking:
    """The same options for all rows."""
    return Picking(*(np.full(rows, value) for value in (temperature, top_k, top_p, min_p)))


def test_greedy_takes_the_likeliest_and_drawing_follows_the_softmax(library: Any) -> None:
    mass = np.array([0.1, 0.2, 0.3, 0.4])
    logits = torch.tensor(mass).log().float()[None]
    assert pick(logits, picking(0.0), np.array([0.99]), library).tolist() == [3]
    grid = (np.arange(1000) + 0.5) / 1000
    draws = pick(logits.expand(1000, -1), picking(1.0, rows=1000), grid, library)
    np.testing.assert_allclose(np.bincount(draws, minlength=4) / 1000, mass, atol=2e-3)
    colder = pick(logits.expand(1000, -1), picking(0.5, rows=1000), grid, library)
    np.testing.assert_allclose(
        np.bincount(colder, minlength=4) / 1000, mass**2 / (mass**2).sum(), atol=2e-3
    )


def test_greedy_tells_the_closest_logits_apart_and_takes_the_first_of_equals(library: Any) -> None:
    logits = torch.tensor([[0.0, 1e-7, 0.0], [2.0, 1.0, 2.0]])
    for number in (0.0, 0.4, 0.9):
        found = pick(logits, picking(0.0, rows=2), np.full(2, number), library)
        assert found.tolist() == [1, 0]


def test_top_k_and_top_p_leave_only_the_likeliest(library: Any) -> None:
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    grid = (np.arange(200) + 0.5) / 200

    def seen(**options: float) -> set[int]:
        return set(
            pick(logits.expand(200, -1), picking(1.0, rows=200, **options), grid, library).tolist()
        )  # type: ignore[arg-type]

    assert seen(top_k=2) == {1, 3}
    assert seen(top_p=0.69) == {1, 3}
    assert seen(top_p=0.71) == {1, 2, 3}
    assert seen(top_p=0.01) == {1}
    assert seen(top_k=3, top_p=0.5) == {1, 3}
    assert seen(min_p=0.6) == {1, 3}
    assert seen(top_p=0.95, min_p=0.4) == {1, 2, 3}
    assert seen(top_k=3, top_p=0.95, min_p=0.6) == {1, 3}
    assert seen() == {0, 1, 2, 3}


@pytest.mark.parametrize("options", [{}, {"top_k": 50}, {"top_p": 0.9}, {"min_p": 0.02}])
def test_a_large_vocabulary_is_sampled_as_its_shares_say(
    library: Any, options: dict[str, float]
) -> None:
    """The token on whose edge a number falls, of all shares summed one by one in float64."""
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(1, 5003, generator=random)
    grid = (np.arange(500) + 0.5) / 500
    draws = pick(logits.expand(500, -1), picking(0.8, rows=500, **options), grid, library)  # type: ignore[arg-type]
    shares = torch.softmax(logits[0].double() / 0.8, 0).numpy()
    order = np.argsort(-shares, kind="stable") if options.keys() & {"top_k", "top_p"} else None
    mass = shares if order is None else shares[order]
    before = np.cumsum(mass) - mass
    nucleus = before < options.get("top_p", 1.0)
    nucleus &= np.arange(len(mass)) < options.get("top_k", len(mass))
    nucleus &= mass >= options.get("min_p", 0.0) * mass.max()
    edges = np.cumsum(mass * nucleus)
    wanted = np.searchsorted(edges, grid * edges[-1], side="right")
    wanted = wanted if order is None else order[wanted]
    # A number within rounding of an edge may fall on either side of it.
    assert float(np.mean(draws == wanted)) > 0.99
    assert set(draws) <= set(np.flatnonzero(nucleus) if order is None else order[nucleus])


def test_top_p_of_a_flat_distribution_takes_more_than_are_sorted_at_first(
    library: Any,
) -> None:
    logits = torch.zeros(200, 1000)
    grid = (np.arange(200) + 0.5) / 200
    draws = pick(logits, picking(1.0, top_p=0.9, rows=200), grid, library)
    assert draws.max() == pytest.approx(900, abs=10)


def test_rows_of_all_kinds_pick_the_same_alone_and_together(library: Any) -> None:
    random = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(96, 3000, generator=random)
    kinds = [(0.0, 0, 1.0, 0.0), (1.0, 0, 1.0, 0.0), (0.7, 40, 1.0, 0.0), (1.2, 0, 0.9, 0.0)]
    kinds += [(5.0, 0, 0.99, 0.0), (1.0, 0, 1.0, 0.05), (1.0, 7, 0.8, 0.1), (2.0, 4000, 1.0, 0.0)]
    mixed = Picking(*(np.array([kinds[row % 8][part] for row in range(96)]) for part in range(4)))
    numbers = np.random.default_rng(0).random(96)
    together = pick(logits, mixed, numbers, library)
    for size in (1, 3, 8, 41):
        for first in range(0, 96, size):
            part = slice(first, first + size)
            own = Picking(*(values[part] for values in mixed))
            assert (pick(logits[part], own, numbers[part], library) == together[part]).all()


def test_the_smallest_options_allowed_take_the_likeliest(library: Any) -> None:
    """They once left no token at all, and with it nothing of the batch."""
    logits = torch.tensor([[9.0, 30.0, 2.0]])
    for tiny in (picking(10.0, top_k=1, top_p=5e-324), picking(1e-39), picking(1.0, top_p=1e-300)):
        assert pick(logits, tiny, np.array([0.999]), library).tolist() == [1]


def test_a_forbidden_token_is_never_sampled_at_the_edge(library: Any) -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert pick(logits, picking(1.0), np.array([1 - 2.0**-53]), library).tolist() == [1]


def test_a_token_of_a_row_that_is_part_of_a_wider_one_is_the_same(library: Any) -> None:
    wide = 2 * torch.randn(9, 700, generator=torch.Generator().manual_seed(0))
    logits, numbers = wide[:, 5:605], np.linspace(0.1, 0.9, 9)
    for options in (picking(0.0, rows=9), picking(1.0, rows=9), picking(1.0, top_k=5, rows=9)):
        whole = pick(logits.contiguous(), options, numbers, library)
        assert np.array_equal(pick(logits, options, numbers, library), whole)


def test_equals_are_taken_in_the_order_of_the_vocabulary(library: Any) -> None:
    """Of many equally likely tokens top-k keeps the first ones."""
    logits = torch.zeros(100, 2000)
    logits[:, 1500] = 1.0
    grid = (np.arange(100) + 0.5) / 100
    draws = pick(logits, picking(1.0, top_k=40, rows=100), grid, library)
    if library is not None:  # torch promises no order
        assert set(draws) <= {1500, *range(39)}
    assert len(set(draws)) > 20
    assert pick(logits[:1], picking(0.0), np.zeros(1), library).tolist() == [1500]


def test_the_logarithm_of_a_sum_is_exact_for_numbers_of_all_sizes(library: Any) -> None:
    """Also where all but one token are impossible, and where exponentials would overflow."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 1003, generator=random) * torch.tensor([[0.0], [1], [30], [1e4], [1]])
    logits[4, 1:] = -torch.inf
    wanted = torch.logsumexp(logits.double(), 1).numpy()
    np.testing.assert_allclose(log_sums(logits, library), wanted, rtol=2e-7, atol=2e-6)


@pytest.mark.parametrize("options", [{"top_k": 5}, {"top_k": 200}, {"top_p": 0.9}, {}])
def test_of_logits_that_are_no_numbers_c_takes_a_token_of_the_vocabulary(
    options: dict[str, float],
) -> None:
    """A row must not be able to end the step of the others."""
    logits = torch.full((3, 300), torch.nan)
    logits[1, 7], logits[2] = 1.0, torch.inf
    for temperature in (0.0, 1.0):
        choice = picking(temperature, rows=3, **options)  # type: ignore[arg-type]
        for number in (0.0, 0.5, 0.999):
            draws = pick(logits, choice, np.full(3, number), load_decode_native())
            assert ((draws >= 0) & (draws < 300)).all()


@pytest.mark.parametrize("vocab", [1, 4, 64, 65, 128, 200, 1000])
def test_each_of_equal_tokens_has_an_equal_share_in_the_order_of_the_vocabulary(
    library: Any, vocab: int
) -> None:
    """Over whole blocks and a rest, and among the likeliest as well."""
    logits = torch.zeros(vocab, vocab)
    middles = (np.arange(vocab) + 0.5) / vocab
    assert pick(logits, picking(1.0, rows=vocab), middles, library).tolist() == list(range(vocab))
    likeliest = pick(logits, picking(1.0, top_k=vocab, rows=vocab), middles, library)
    assert sorted(likeliest.tolist()) == list(range(vocab))
    every = picking(1.0, min_p=1.0, rows=vocab)
    assert pick(logits, every, middles, library).tolist() == list(range(vocab))


def test_a_number_on_an_edge_belongs_to_the_token_after_it(library: Any) -> None:
    """Of 128 equal shares, which are exact."""
    logits, edges = torch.zeros(128, 128), np.arange(128) / 128
    assert pick(logits, picking(1.0, rows=128), edges, library).tolist() == list(range(128))
    before = np.nextafter(edges[1:], 0)
    found = pick(logits[1:], picking(1.0, rows=127), before, library)
    assert found.tolist() == list(range(127))


@pytest.mark.parametrize("options", [{"top_p": 0.5}, {"top_k": 4, "top_p": 0.5}, {"top_k": 2}])
def test_a_share_that_tokens_reach_exactly_takes_no_more_of_them(
    library: Any, options: dict[str, float]
) -> None:
    logits, grid = torch.zeros(100, 4), (np.arange(100) + 0.5) / 100
    found = pick(logits, picking(1.0, rows=100, **options), grid, library)  # type: ignore[arg-type]
    assert len(set(found.tolist())) == 2
    assert np.bincount(found, minlength=4).max() == 50


def test_the_lowest_temperature_is_a_millionth(library: Any) -> None:
    """There a difference of a millionth is a factor of e: 1 / (1 + 1/e) = 0.731."""
    logits = torch.tensor([[0.0, -1e-6]])
    for temperature in (1e-6, 1e-9):
        for number, token in ((0.72, 0), (0.74, 1)):
            for options in (picking(temperature), picking(temperature, top_k=2)):
                assert pick(logits, options, np.array([number]), library).tolist() == [token]


def test_top_p_is_a_share_of_all_tokens_at_the_temperature(library: Any) -> None:
    """Of those beyond the likeliest that are sorted at first as well."""
    logits = torch.zeros(600, 1200)
    logits[:, :2] = 2.0
    grid = (np.arange(600) + 0.5) / 600
    for temperature in (1.0, 2.0):
        mass = np.exp(2.0 / temperature)
        more = int(np.ceil(0.6 * (2 * mass + 1198) - 2 * mass))
        found = pick(logits, picking(temperature, top_p=0.6, rows=600), grid, library)
        share = 2 * mass / (2 * mass + more)
        assert float((found < 2).mean()) == pytest.approx(share, abs=2 / 600)
        assert len(set(found.tolist())) > 500


def test_min_p_is_a_share_of_the_likeliest_and_counts_at_the_limit(library: Any) -> None:
    logits = torch.tensor([[0.0, 0.0, -1.0, -3.0]]).expand(100, -1)
    grid = (np.arange(100) + 0.5) / 100
    for limit, tokens in ((1.0, {0, 1}), (0.36, {0, 1, 2}), (0.37, {0, 1}), (0.04, {0, 1, 2, 3})):
        for top_k in (0, 4):
            options = picking(1.0, top_k=top_k, min_p=limit, rows=100)
            assert set(pick(logits, options, grid, library).tolist()) == tokens
