"""Slots: what rows generate, whatever other rows run."""

import itertools

import numpy as np
import pytest
import torch

from tests import toys
from tests.compiled import load_decode_native, load_native
from textvae.benchmarks.whole_requests import WholeRequests
from textvae.decode.counter import normals
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.model.exact import BUCKETS, ExactDecoder
from textvae.options import Options

VOCAB, LATENT = 60, 6
END = 2


@pytest.fixture(params=["compiled", "torch"])
def decoder(request: pytest.FixtureRequest) -> ExactDecoder:
    """Untrained weights; what can be done in C is done by it, or by torch."""
    library = None if request.param == "torch" else load_native()
    return toys.untrained_decoder(VOCAB, LATENT, seed=0).with_gates(library)


def slots(decoder: ExactDecoder, kind: type[Slots] = Slots) -> Slots:
    """Empty slots; tokens are picked in C where gates are."""
    picks = None if decoder.cell.library is None else load_decode_native()
    return kind(decoder, SpecialIds(END, (0, 1, 3)), BUCKETS, picks)


def rows(owner: str, count: int, **choice: float) -> list[Row]:
    """Rows with latents of their own, seeded by the owner's name."""
    latents = normals(len(owner), np.arange(count), np.zeros(count), LATENT).astype(np.float32)
    return [
        Row(owner, number, latent, 12, Options(**choice), item=number, seed=len(owner))  # type: ignore[arg-type]
        for number, latent in enumerate(latents)
    ]


def run(batch: Slots, waiting: list[Row]) -> dict[tuple[str, int], FinishedRow]:
    """Everything that comes out, rows joining as soon as there is room."""
    done = {}
    with torch.inference_mode():
        while waiting or batch.running:
            free = batch.capacity - batch.running
            batch.admit(waiting[:free])
            waiting = waiting[free:]
            for finished in batch.step():
                done[str(finished.row.owner), finished.row.number] = finished
    return done


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"temperature": 0.9, "top_k": 9}])
def test_decoding_is_batch_invariant(decoder: ExactDecoder, options: dict[str, float]) -> None:
    mine = rows("mine", 3, **options)
    alone = {key: value for row in mine for key, value in run(slots(decoder), [row]).items()}
    crowd = rows("other", 100, temperature=1.3)
    crowded = run(slots(decoder), [*crowd[:50], *mine, *crowd[50:]])
    for key, finished in alone.items():
        other = crowded[key]
        assert (other.tokens, other.log_prob, other.ended) == (
            finished.tokens,
            finished.log_prob,
            finished.ended,
        )
        assert other.batch_rows > 32


def test_a_sentence_has_a_token_and_no_more_than_its_limit(decoder: ExactDecoder) -> None:
    done = run(slots(decoder), rows("any", 64, temperature=5.0))
    assert len(done) == 64
    for finished in done.values():
        assert 1 <= len(finished.tokens) <= 12
        assert finished.ended == (len(finished.tokens) < 12 or finished.ended)
        assert not {0, 1, END, 3} & set(finished.tokens)
    assert any(not finished.ended for finished in done.values())
    assert any(finished.ended for finished in done.values())


def test_a_row_with_no_repeat_never_generates_an_ngram_twice(decoder: ExactDecoder) -> None:
    """And generates the same as without the guard where that has no n-gram twice."""
    free, guarded = (run(slots(decoder), rows("any", 64, no_repeat=ngram)) for ngram in (0, 2))
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


def test_targets_are_scored_with_their_end(decoder: ExactDecoder) -> None:
    """By the chain rule, a token at a time; the tokens that come back are the targets."""
    row = rows("scored", 1)[0]._replace(targets=(7, 8, 9))
    finished = run(slots(decoder), [row])["scored", 0]
    with torch.inference_mode():
        carried = decoder.start(torch.from_numpy(row.latent)[None])
        nats = 0.0
        for read, target in zip((1, 7, 8, 9), (7, 8, 9, END), strict=True):
            logits, carried = decoder.step(torch.tensor([read]), carried)
            nats += float(torch.log_softmax(logits[0], 0)[target])
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
    done = {("wanted", finished.row.number): finished for finished in first} | run(batch, [])
    assert {key: one.tokens for key, one in done.items()} == {
        key: one.tokens for key, one in expected.items()
    }


def test_rows_that_end_and_rows_dropped_between_two_steps_leave_the_others_alone(
    decoder: ExactDecoder,
) -> None:
    """Both leave before the state of the others is read again."""
    wanted, unwanted = (rows(owner, 25, temperature=5.0) for owner in ("wanted", "unwanted"))
    expected = run(slots(decoder), wanted)
    batch, done, left_twice = slots(decoder), {}, 0
    with torch.inference_mode():
        batch.admit([row for pair in zip(unwanted, wanted, strict=True) for row in pair])
        while batch.running:
            before = batch.running
            done |= {(str(one.row.owner), one.row.number): one for one in batch.step()}
            ended, spared = batch.running < before, itertools.count()
            # One more unwanted row is dropped after each step.
            batch.drop(lambda owner, spared=spared: owner == "unwanted" and next(spared) == 0)  # type: ignore[misc]
            left_twice += ended
    assert left_twice > 3, "hardly a row ended in a step, so this test has no force"
    assert {key: one.tokens for key, one in done.items() if key[0] == "wanted"} == {
        key: one.tokens for key, one in expected.items()
    }


def test_whole_requests_are_answered_when_the_longest_row_has_ended(decoder: ExactDecoder) -> None:
    """What slots are measured against: no row joins in the middle, and the sentences are ours."""
    whole = slots(decoder, WholeRequests)
    scored = [rows("scored", 3)[n]._replace(targets=(7,) * (1 + 2 * n)) for n in range(3)]
    answered = []
    with torch.inference_mode():
        whole.admit(scored)
        for _ in range(6):
            assert whole.capacity == whole.running, "a slot was free while the batch ran"
            answered.append(len(whole.step()))
    assert answered == [0, 0, 0, 0, 0, 3]
    assert whole.capacity == BUCKETS[-1]
    both = run(whole, rows("a", 5)), run(slots(decoder), rows("a", 5))
    one, other = ([(done.tokens, done.log_prob) for done in found.values()] for found in both)
    assert sorted(one) == sorted(other)
