"""Counter-based numbers, picking, and slots."""

import itertools

import numpy as np
import pytest
import torch

from tests import toys
from textvae.decode.counter import Purpose, normals, uniforms, words
from textvae.decode.pick import Picking, pick
from textvae.decode.slots import Choice, Finished, Row, Slots, SpecialIds
from textvae.measure.whole_requests import WholeRequests
from textvae.model.exact import BUCKETS, ExactDecoder

VOCAB, LATENT = 60, 6
END = 2


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


def test_every_part_of_an_address_gives_another_number() -> None:
    base = (7, 8, 9, 10)
    found = {float(uniforms(*(addresses(part) for part in base), Purpose.TOKEN)[0])}
    for place in range(4):
        changed = [addresses(part + (number == place)) for number, part in enumerate(base)]
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
    drawn = normals(0, many[:5000], zero[:5000], 7)
    assert drawn.shape == (5000, 7)
    assert float(drawn.mean()) == pytest.approx(0, abs=0.02)
    assert float(drawn.std()) == pytest.approx(1, rel=0.02)
    assert float(np.abs(np.corrcoef(drawn.T) - np.eye(7)).max()) < 0.06


def test_a_latent_does_not_depend_on_those_drawn_beside_it() -> None:
    together = normals(3, np.arange(9), np.zeros(9), 5)
    assert np.array_equal(normals(3, np.array([4]), np.zeros(1), 5)[0], together[4])


def picking(
    temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, rows: int = 1
) -> Picking:
    """The same options for all rows."""
    return Picking(*(np.full(rows, value) for value in (temperature, top_k, top_p, min_p)))


def test_greedy_takes_the_likeliest_and_drawing_follows_the_softmax() -> None:
    mass = np.array([0.1, 0.2, 0.3, 0.4])
    logits = torch.tensor(mass).log().float()[None]
    assert pick(logits, picking(0.0), np.array([0.99])).tolist() == [3]
    grid = (np.arange(1000) + 0.5) / 1000
    drawn = pick(logits.expand(1000, -1), picking(1.0, rows=1000), grid)
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 1000, mass, atol=2e-3)
    colder = pick(logits.expand(1000, -1), picking(0.5, rows=1000), grid)
    np.testing.assert_allclose(
        np.bincount(colder, minlength=4) / 1000, mass**2 / (mass**2).sum(), atol=2e-3
    )


def test_top_k_and_top_p_leave_only_the_likeliest() -> None:
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    grid = (np.arange(200) + 0.5) / 200

    def seen(**options: float) -> set[int]:
        return set(pick(logits.expand(200, -1), picking(1.0, rows=200, **options), grid).tolist())  # type: ignore[arg-type]

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
def test_a_large_vocabulary_is_drawn_from_as_its_shares_say(options: dict[str, float]) -> None:
    """The token on whose edge a number falls, of all shares summed one by one in float64."""
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(1, 5003, generator=random)
    grid = (np.arange(500) + 0.5) / 500
    drawn = pick(logits.expand(500, -1), picking(0.8, rows=500, **options), grid)  # type: ignore[arg-type]
    shares = torch.softmax(logits[0].double() / 0.8, 0).numpy()
    order = np.argsort(-shares, kind="stable") if options.keys() & {"top_k", "top_p"} else None
    mass = shares if order is None else shares[order]
    before = np.cumsum(mass) - mass
    kept = before < options.get("top_p", 1.0)
    kept &= np.arange(len(mass)) < options.get("top_k", len(mass))
    kept &= mass >= options.get("min_p", 0.0) * mass.max()
    edges = np.cumsum(mass * kept)
    wanted = np.searchsorted(edges, grid * edges[-1], side="right")
    wanted = wanted if order is None else order[wanted]
    # A number within rounding of an edge may fall on either side of it.
    assert float(np.mean(drawn == wanted)) > 0.99
    assert set(drawn) <= set(np.flatnonzero(kept) if order is None else order[kept])


def test_top_p_of_a_flat_distribution_takes_more_tokens_than_are_sorted_at_first() -> None:
    logits = torch.zeros(200, 1000)
    grid = (np.arange(200) + 0.5) / 200
    drawn = pick(logits, picking(1.0, top_p=0.9, rows=200), grid)
    assert drawn.max() == pytest.approx(900, abs=10)


def test_rows_of_all_kinds_pick_the_same_alone_and_together() -> None:
    random = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(96, 3000, generator=random)
    kinds = [(0.0, 0, 1.0, 0.0), (1.0, 0, 1.0, 0.0), (0.7, 40, 1.0, 0.0), (1.2, 0, 0.9, 0.0)]
    kinds += [(5.0, 0, 0.99, 0.0), (1.0, 0, 1.0, 0.05), (1.0, 7, 0.8, 0.1), (2.0, 4000, 1.0, 0.0)]
    mixed = Picking(*(np.array([kinds[row % 8][part] for row in range(96)]) for part in range(4)))
    numbers = np.random.default_rng(0).random(96)
    together = pick(logits, mixed, numbers)
    for size in (1, 3, 8, 41):
        for first in range(0, 96, size):
            part = slice(first, first + size)
            own = Picking(*(values[part] for values in mixed))
            assert (pick(logits[part], own, numbers[part]) == together[part]).all()


def test_the_smallest_options_allowed_take_the_likeliest() -> None:
    """They once left no token at all, and with it nothing of the batch."""
    logits = torch.tensor([[9.0, 30.0, 2.0]])
    for tiny in (picking(10.0, top_k=1, top_p=5e-324), picking(1e-39), picking(1.0, top_p=1e-300)):
        assert pick(logits, tiny, np.array([0.999])).tolist() == [1]


def test_a_forbidden_token_is_never_drawn_at_the_edge() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert pick(logits, picking(1.0), np.array([1 - 2.0**-53])).tolist() == [1]


@pytest.fixture
def decoder() -> ExactDecoder:
    """Untrained weights."""
    return toys.untrained_decoder(VOCAB, LATENT, seed=0)


def slots(decoder: ExactDecoder) -> Slots:
    """Empty slots."""
    return Slots(decoder, SpecialIds(1, END, (0, 1, 3)), BUCKETS)


def rows(owner: str, count: int, **choice: float) -> list[Row]:
    """Rows with latents of their own, seeded by the owner's name."""
    latents = normals(len(owner), np.arange(count), np.zeros(count), LATENT).astype(np.float32)
    return [
        Row(owner, place, latent, 12, Choice(**choice), item=place, seed=len(owner))  # type: ignore[arg-type]
        for place, latent in enumerate(latents)
    ]


def run(batch: Slots, waiting: list[Row]) -> dict[tuple[str, int], Finished]:
    """Everything that comes out, rows joining as soon as there is room."""
    done = {}
    with torch.inference_mode():
        while waiting or batch.running:
            free = batch.capacity - batch.running
            batch.admit(waiting[:free])
            waiting = waiting[free:]
            for finished in batch.step():
                done[str(finished.row.owner), finished.row.place] = finished
    return done


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"temperature": 0.9, "top_k": 9}])
def test_a_row_writes_the_same_alone_and_among_any_neighbours(
    decoder: ExactDecoder, options: dict[str, float]
) -> None:
    mine = rows("mine", 3, **options)
    alone = {key: value for row in mine for key, value in run(slots(decoder), [row]).items()}
    crowd = rows("other", 100, temperature=1.3)
    crowded = run(slots(decoder), [*crowd[:50], *mine, *crowd[50:]])
    for key, finished in alone.items():
        beside = crowded[key]
        assert (beside.tokens, beside.log_prob, beside.ended) == (
            finished.tokens,
            finished.log_prob,
            finished.ended,
        )
        assert beside.batch_rows > 32


def test_a_sentence_has_a_token_and_no_more_than_its_limit(decoder: ExactDecoder) -> None:
    done = run(slots(decoder), rows("any", 64, temperature=5.0))
    assert len(done) == 64
    for finished in done.values():
        assert 1 <= len(finished.tokens) <= 12
        assert finished.ended == (len(finished.tokens) < 12 or finished.ended)
        assert not {0, 1, END, 3} & set(finished.tokens)
    assert any(not finished.ended for finished in done.values())
    assert any(finished.ended for finished in done.values())


def test_a_guarded_row_never_writes_a_run_twice(decoder: ExactDecoder) -> None:
    """And writes what it would have written as long as that has no run twice."""
    free, guarded = (run(slots(decoder), rows("any", 64, no_repeat=run_)) for run_ in (0, 2))
    changed = 0
    for key, finished in guarded.items():
        pairs = list(itertools.pairwise(finished.tokens))
        assert len(set(pairs)) == len(pairs)
        others = list(itertools.pairwise(free[key].tokens))
        repeats = len(set(others)) < len(others)
        assert repeats or finished.tokens == free[key].tokens
        changed += repeats
    assert changed > 5, "hardly a row repeats itself, so the guard is not tried"
    once = run(slots(decoder), rows("any", 64, no_repeat=1, temperature=1.0))
    assert all(len(set(one.tokens)) == len(one.tokens) for one in once.values())


def test_a_given_sentence_is_judged_with_its_end(decoder: ExactDecoder) -> None:
    """By the chain rule, a token at a time; what was asked is what was judged."""
    row = rows("judge", 1)[0]._replace(given=(7, 8, 9))
    finished = run(slots(decoder), [row])["judge", 0]
    with torch.inference_mode():
        carried = decoder.start(torch.from_numpy(row.latent)[None])
        nats = 0.0
        for read, written in zip((1, 7, 8, 9), (7, 8, 9, END), strict=True):
            logits, carried = decoder.step(torch.tensor([read]), carried)
            nats += float(torch.log_softmax(logits[0], 0)[written])
    assert finished.tokens == [7, 8, 9]
    assert finished.ended
    assert finished.log_prob == pytest.approx(nats, rel=1e-5)


def test_dropped_rows_free_their_slots_and_leave_the_others_alone(decoder: ExactDecoder) -> None:
    batch = slots(decoder)
    wanted, unwanted = rows("wanted", 3), rows("unwanted", 20)
    expected = run(slots(decoder), wanted)
    with torch.inference_mode():
        batch.admit([*unwanted[:10], *wanted, *unwanted[10:]])
        first = [finished for finished in batch.step() if finished.row.owner == "wanted"]
        batch.drop(lambda owner: owner == "unwanted")
        assert batch.running == 3 - len(first)
    done = {("wanted", finished.row.place): finished for finished in first} | run(batch, [])
    assert {key: one.tokens for key, one in done.items()} == {
        key: one.tokens for key, one in expected.items()
    }


def test_whole_requests_are_answered_when_the_longest_row_has_ended(decoder: ExactDecoder) -> None:
    """What slots are measured against: nobody joins in the middle, and the sentences are ours."""
    whole = WholeRequests(decoder, SpecialIds(1, END, (0, 1, 3)), BUCKETS)
    given = [rows("given", 3)[n]._replace(given=(7,) * (1 + 2 * n)) for n in range(3)]
    answered = []
    with torch.inference_mode():
        whole.admit(given)
        for _ in range(6):
            assert whole.capacity == whole.running, "a slot was free while the batch ran"
            answered.append(len(whole.step()))
    assert answered == [0, 0, 0, 0, 0, 3]
    assert whole.capacity == BUCKETS[-1]
    both = run(whole, rows("a", 5)), run(slots(decoder), rows("a", 5))
    one, other = ([(done.tokens, done.log_prob) for done in found.values()] for found in both)
    assert sorted(one) == sorted(other)
