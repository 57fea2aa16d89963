"""Slots, a row at a time: addresses of its numbers, what it counts, and when it ends."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests import toys
from tests.test_decode import END, LATENT, VOCAB, rows, run, slots
from textvae.decode.counter import Purpose, uniforms
from textvae.decode.pick import Picking, pick
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import repeated_ngram_ends
from textvae.model.exact import ExactDecoder
from textvae.options import Options
from textvae.text.tokenizer import BOS

FORBIDDEN = [0, 1, 3]


@pytest.fixture(scope="module")
def decoder() -> ExactDecoder:
    """Untrained weights."""
    return toys.untrained_decoder(VOCAB, LATENT, seed=0)


def by_hand(decoder: ExactDecoder, row: Row) -> tuple[list[int], float, bool]:
    """Return tokens, log-probability and whether the row ended, one token after the other."""
    state = decoder.start(torch.from_numpy(row.latent)[None])
    tokens: list[int] = []
    log_prob = 0.0
    options = row.options
    while len(tokens) < row.tokens_max:
        logits, state = decoder.step(torch.tensor([tokens[-1] if tokens else row.begin]), state)
        log_probs = torch.log_softmax(logits[0].double(), 0)
        logits[:, FORBIDDEN] = -torch.inf
        if not tokens:
            logits[:, END] = -torch.inf
        parts = (row.seed, row.item, row.draw, len(tokens))
        number = uniforms(*(np.array([part], np.uint64) for part in parts), Purpose.TOKEN)
        choice = (options.temperature, options.top_k, options.top_p, options.min_p)
        token = int(pick(logits, Picking(*(np.array([part]) for part in choice)), number)[0])
        log_prob += float(log_probs[token])
        if token == END:
            return tokens, log_prob, True
        tokens.append(token)
    return tokens, log_prob, False


@torch.inference_mode()
def test_a_sampled_row_takes_the_numbers_of_its_own_address(decoder: ExactDecoder) -> None:
    """Seed, item, draw and step; its probability is that at temperature 1, whatever it was."""
    waiting = [
        row._replace(seed=5, item=10 + number % 4, draw=number // 4)
        for number, row in enumerate(rows("any", 12, temperature=1.5, top_k=30))
    ]
    for (_, number), finished in run(slots(decoder), waiting).items():
        tokens, log_prob, ended = by_hand(decoder, waiting[number])
        assert (finished.tokens, finished.ended) == (tokens, ended)
        assert finished.log_prob == pytest.approx(log_prob, rel=1e-5)


def test_rows_of_one_latent_differ_by_seed_item_and_draw(decoder: ExactDecoder) -> None:
    latent = rows("any", 1)[0].latent
    addresses = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    waiting = [
        Row("any", number, latent, 12, Options(temperature=2.0), *address)
        for number, address in enumerate(addresses)
    ]
    found = [tuple(done.tokens) for done in run(slots(decoder), waiting).values()]
    assert len(set(found)) == 4


@pytest.mark.parametrize("choice", [{}, {"temperature": 1.0}, {"beam": 3}])
@torch.inference_mode()
def test_rows_of_one_latent_with_two_begins_are_two_sentences_whatever_runs_beside_them(
    decoder: ExactDecoder, choice: dict[str, float]
) -> None:
    row = rows("mine", 1, **choice)[0]
    assert row.begin == BOS
    mine = [row._replace(number=number, begin=begin) for number, begin in enumerate((BOS, 9))]
    alone = [run(slots(decoder), [each])["mine", each.number] for each in mine]
    assert alone[0].tokens != alone[1].tokens
    crowd = rows("other", 50, temperature=1.3)
    together = run(slots(decoder), [*crowd[:25], *mine, *crowd[25:]])
    for finished in alone:
        beside = together["mine", finished.row.number]
        assert beside.batch_rows > 32
        assert beside._replace(batch_rows=0, row=finished.row) == finished._replace(batch_rows=0)
        if "beam" not in choice:
            assert finished.tokens == by_hand(decoder, finished.row)[0]


def test_targets_are_scored_after_the_begin_of_their_row(decoder: ExactDecoder) -> None:
    row = rows("any", 1)[0]._replace(targets=(7, 8))
    scores = [
        run(slots(decoder), [row._replace(begin=begin)])["any", 0].log_prob for begin in (BOS, 9)
    ]
    assert scores[0] != scores[1]


def test_a_sentence_that_ended_scores_the_same_as_targets(decoder: ExactDecoder) -> None:
    """Their tokens may be more than the row's limit."""
    done = [one for one in run(slots(decoder), rows("any", 40)).values() if one.ended]
    assert len(done) > 3, "too few sentences end"
    for finished in done:
        scored = finished.row._replace(targets=tuple(finished.tokens), tokens_max=1)
        again = run(slots(decoder), [scored])["any", finished.row.number]
        assert (again.tokens, again.ended) == (finished.tokens, True)
        assert again.log_prob == pytest.approx(finished.log_prob, rel=1e-5)


@pytest.mark.parametrize("tokens_max", [1, 2])
def test_a_row_stops_at_its_limit(decoder: ExactDecoder, tokens_max: int) -> None:
    waiting = [row._replace(tokens_max=tokens_max) for row in rows("any", 5)]
    for finished in run(slots(decoder), waiting).values():
        assert len(finished.tokens) == tokens_max or finished.ended


def test_a_row_counts_the_most_rows_that_shared_a_step_with_it(decoder: ExactDecoder) -> None:
    """A beam counts by its slots; rows that join later count, those that left do not."""
    batch = slots(decoder)
    first, late, short = (row._replace(targets=(7,) * 6) for row in rows("any", 3))
    beam = rows("beam", 1, beam=4)[0]
    finished: list[FinishedRow] = []
    with torch.inference_mode():
        batch.admit([first, short._replace(targets=(7,))])
        assert batch.running == 2
        finished += batch.step()
        finished += batch.step()
        assert [done.row.number for done in finished] == [2]
        assert finished[0].batch_rows == 2
        batch.admit([late, beam])
        assert batch.running == 6
        while batch.running:
            finished += batch.step()
    counts = {(done.row.owner, done.row.number): done.batch_rows for done in finished}
    assert counts == {("any", 0): 6, ("any", 1): 6, ("any", 2): 2, ("beam", 0): 6}


def test_no_more_rows_than_slots_may_join(decoder: ExactDecoder) -> None:
    batch = slots(decoder)
    assert batch.capacity == 64
    with torch.inference_mode():
        batch.admit([])
        assert batch.running == 0
        assert batch.step() == []
        batch.admit(rows("any", 64))
        with pytest.raises(AssertionError, match="1 are too many to join"):
            batch.admit(rows("other", 1))
        batch.clear()
        assert batch.running == 0
        batch.admit(rows("other", 64))


@pytest.mark.parametrize(
    ("tokens", "ngram", "ends"),
    [
        ([1, 2, 3, 1, 2], 3, [3]),
        ([1, 2, 1], 2, [2]),
        ([1, 2, 1, 3, 1], 2, [2, 3]),
        ([5, 6], 1, [5, 6]),
        ([1, 2], 3, []),
        ([1, 1], 3, []),
        ([1, 1, 1], 3, [1]),
        ([], 2, []),
    ],
)
def test_tokens_that_would_repeat_an_ngram_are_those_after_its_earlier_beginnings(
    tokens: Sequence[int], ngram: int, ends: list[int]
) -> None:
    assert repeated_ngram_ends(tokens, ngram) == ends


def test_a_row_takes_a_slot_and_a_beam_as_many_as_it_is_wide() -> None:
    row = rows("any", 1)[0]
    beam = row._replace(options=Options(beam=5))
    assert (row.slots, beam.slots, beam._replace(targets=(7,)).slots) == (1, 5, 1)


def test_a_row_with_a_prefix_writes_what_follows_it(decoder: ExactDecoder) -> None:
    """Of what it would write itself, the row goes on as if there were none, in any company."""
    for temperature in (0.0, 1.5):
        free = [row._replace(seed=3) for row in rows("free", 12, temperature=temperature)]
        alone = run(slots(decoder), free)
        held = [
            row._replace(prefix=tuple(alone["free", row.number].tokens[:4]), owner="held")
            for row in free
        ]
        both = run(slots(decoder), [*held, *rows("any", 7, temperature=1.0)])
        for row in held:
            before, after = alone["free", row.number], both["held", row.number]
            assert (after.tokens, after.log_prob) == (before.tokens, before.log_prob)
        other = [row._replace(prefix=(9, 9, 9)) for row in held]
        for found in run(slots(decoder), other).values():
            assert found.tokens[:3] == [9, 9, 9]
            assert len(found.tokens) > 3 or found.ended
