"""Beam search: what it finds, and that it does not depend on other rows."""

import itertools
import math

import pytest
import torch

from tests import toys
from textvae.decode.beam import Beam, Hypothesis
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.model.exact import BUCKETS, ExactDecoder
from textvae.options import Options

BEGIN, END, VOCAB, LATENT = 0, 1, 6, 3
LENGTH = 4


@pytest.fixture(scope="module")
def decoder() -> ExactDecoder:
    """Untrained weights."""
    return toys.untrained_decoder(VOCAB, LATENT, seed=1)


def rows(count: int, beam: int, tokens_max: int = LENGTH, owner: str = "any") -> list[Row]:
    """Rows with latents of their own."""
    latents = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(3)).numpy()
    choice = Options(beam=beam)
    return [
        Row(owner, number, latent, tokens_max, choice, begin=BEGIN)
        for number, latent in enumerate(latents)
    ]


def run(decoder: ExactDecoder, waiting: list[Row]) -> dict[tuple[str, int], FinishedRow]:
    """Everything that comes out, rows joining as soon as there is room."""
    slots, done = Slots(decoder, SpecialIds(END, (BEGIN,)), BUCKETS), {}
    with torch.inference_mode():
        while waiting or slots.running:
            joining = []
            free = slots.capacity - slots.running
            while waiting and waiting[0].slots <= free:
                joining.append(waiting.pop(0))
                free -= joining[-1].slots
            slots.admit(joining)
            for finished in slots.step():
                done[str(finished.row.owner), finished.row.number] = finished
    return done


def likeliest(decoder: ExactDecoder, row: Row) -> list[tuple[float, tuple[int, ...]]]:
    """Every sentence of at most LENGTH - 1 tokens with its end, by nats a token."""
    found = []
    for length in range(1, LENGTH):
        for tokens in itertools.product(range(2, VOCAB), repeat=length):
            scored = row._replace(targets=tokens, options=Options())
            log_prob = run(decoder, [scored])["any", row.number].log_prob
            found.append((log_prob / (length + 1), tokens))
    return sorted(found, reverse=True)


def test_a_wide_beam_finds_the_likeliest_sentences_a_token(decoder: ExactDecoder) -> None:
    """Against all sentences there are; a beam as wide as the vocabulary misses next to nothing."""
    for row in rows(3, beam=8):
        finished = run(decoder, [row])["any", row.number]
        score, tokens = likeliest(decoder, row)[0]
        if finished.ended and len(finished.tokens) < LENGTH:
            assert tuple(finished.tokens) == tokens
            assert finished.log_prob / (len(tokens) + 1) == pytest.approx(score, rel=1e-5)
        ended = [Hypothesis(tuple(finished.tokens), finished.log_prob, finished.ended)]
        ended += finished.others
        assert len({one.tokens for one in ended}) == len(ended)
        scores = [one.score for one in ended if one.ended]
        assert scores == sorted(scores, reverse=True)


def test_a_beam_is_batch_invariant(decoder: ExactDecoder) -> None:
    mine = rows(4, beam=5, tokens_max=9, owner="mine")
    alone = {key: one for row in mine for key, one in run(decoder, [row]).items()}
    crowd = rows(60, beam=1, tokens_max=9, owner="other") + rows(9, 3, 9, owner="beams")
    together = run(decoder, [*crowd[:30], *mine, *crowd[30:]])
    assert len(together) == len(mine) + len(crowd)
    for key, finished in alone.items():
        other = together[key]
        assert other._replace(batch_rows=0, row=finished.row) == finished._replace(batch_rows=0)
        assert other.batch_rows > 32


def test_a_beam_of_one_sentence_is_greedy(decoder: ExactDecoder) -> None:
    """Its first hypothesis at each step is what greedy writing takes."""
    beam = Beam(2, tokens_max=1, end=END)
    log_probs = torch.log_softmax(torch.tensor([[0.0, -9.0, 1.0, 3.0, 2.0]]), 1).expand(2, -1)
    assert beam.advance(beam.first(), log_probs) == []
    assert [one.tokens for one in beam.best()] == [(3,), (4,)]
    assert not beam.best()[0].ended


def test_a_search_ends_with_as_many_sentences_as_it_is_wide() -> None:
    """One that is about to end again and again has its best ends, not its last."""
    beam = Beam(2, tokens_max=50, end=END)
    hypotheses = beam.first()
    log_probs = torch.tensor([[-math.inf, math.log(0.5), math.log(0.4), math.log(0.1)]] * 2)
    steps = 0
    while hypotheses:
        hypotheses = [one for _, one in beam.advance(hypotheses, log_probs)]
        steps += 1
    assert steps < 5
    assert [one.tokens for one in beam.best()] == [(), (2,)]
    assert all(one.ended for one in beam.best())


def test_a_score_is_nats_a_token_with_the_end_counted() -> None:
    assert Hypothesis().score == 0.0
    assert Hypothesis((), -3.0, ended=True).score == -3.0
    assert Hypothesis((4, 5), -3.0).score == -1.5
    assert Hypothesis((4, 5), -3.0, ended=True).score == -1.0


def test_a_search_starts_with_one_empty_sentence_and_slots_of_no_probability() -> None:
    first = Beam(3, tokens_max=5, end=END).first()
    assert [one.tokens for one in first] == [(), (), ()]
    assert [one.log_prob for one in first] == [0.0, -math.inf, -math.inf]


def test_a_step_keeps_the_likeliest_continuations_with_the_slots_they_continue() -> None:
    """The second slot's best token beats the first slot's second."""
    beam = Beam(2, tokens_max=9, end=END)
    before = [Hypothesis((2,), -1.0), Hypothesis((3,), -1.5)]
    log_probs = torch.tensor([[-9.0, -9.0, -0.25, -3.0], [-9.0, -9.0, -9.0, -0.5]])
    grown = beam.advance(before, log_probs)
    assert grown == [(0, Hypothesis((2, 2), -1.25)), (1, Hypothesis((3, 3), -2.0))]


def test_a_small_vocabulary_leaves_slots_that_continue_nothing() -> None:
    beam = Beam(3, tokens_max=9, end=END)
    log_probs = torch.tensor([[-math.inf, -math.inf, -0.5, -1.0]] * 3)
    (first, one), (second, other), (third, empty) = beam.advance(beam.first(), log_probs)
    assert (first, second, third) == (0, 0, 0)
    assert (one.tokens, other.tokens) == ((2,), (3,))
    assert empty == Hypothesis(log_prob=-math.inf)


def test_only_an_end_among_the_first_candidates_is_an_end() -> None:
    """As many candidates as the beam is wide; an end behind them is dropped."""
    for end_log_prob, ended in ((-1.5, True), (-2.5, False)):
        beam = Beam(2, tokens_max=9, end=END)
        log_probs = torch.tensor([[-math.inf, end_log_prob, -1.0, -2.0]] * 2)
        grown = beam.advance(beam.first(), log_probs)
        assert [one.tokens for _, one in grown] == [(2,), (3,)]
        assert [one.tokens for one in beam.best()] == ([()] if ended else [])


def test_sentences_that_ended_come_before_those_cut_and_no_more_than_the_width() -> None:
    beam = Beam(2, tokens_max=2, end=END)
    log_probs = torch.tensor([[-math.inf, -2.0, -0.5, -1.0]] * 2)
    hypotheses = [one for _, one in beam.advance(beam.first(), log_probs)]
    assert [len(one.tokens) for one in hypotheses] == [1, 1], "a step short of the limit"
    last = torch.tensor([[-math.inf, -0.1, -0.5, -3.0], [-math.inf, -9.0, -1.0, -9.0]])
    assert beam.advance(hypotheses, last) == []
    best = beam.best()
    assert [(one.tokens, one.ended) for one in best] == [((2,), True), ((2, 2), False)]
    assert [one.log_prob for one in best] == pytest.approx([-0.6, -1.0])


def reference(width: int, tokens_max: int, tables: torch.Tensor) -> list[tuple[int, ...]]:
    """Return the best sentences by log-probabilities (step, last token, token)."""
    alive: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended: list[tuple[float, tuple[int, ...]]] = []
    for table in tables.tolist():
        every = [
            (log_prob + one, (*tokens, token))
            for log_prob, tokens in alive
            for token, one in enumerate(table[tokens[-1] if tokens else BEGIN])
            if one > -math.inf
        ]
        every.sort(reverse=True)
        ended += [one for one in every[:width] if one[1][-1] == END]
        alive = [one for one in every[: 2 * width] if one[1][-1] != END][:width]
        if not alive or len(alive[0][1]) >= tokens_max or len(ended) >= width:
            break
    cut = alive if alive and len(alive[0][1]) >= tokens_max else []
    both = [sorted(some, key=lambda one: -one[0] / len(one[1])) for some in (ended, cut)]
    return [tokens for some in both for _, tokens in some][:width]


@pytest.mark.parametrize("width", [2, 3, 5])
def test_a_search_is_that_of_the_textbook_over_tables_of_transitions(width: int) -> None:
    for seed in range(30):
        random = torch.Generator().manual_seed(seed)
        logits = 2 * torch.randn(7, VOCAB, VOCAB, generator=random, dtype=torch.float64)
        logits[:, :, BEGIN] = -math.inf
        tables = torch.log_softmax(logits, 2)
        beam, tokens_max = Beam(width, 4 + seed % 3, END), 4 + seed % 3
        hypotheses, step = beam.first(), 0
        while hypotheses:
            last = [one.tokens[-1] if one.tokens else BEGIN for one in hypotheses]
            hypotheses = [one for _, one in beam.advance(hypotheses, tables[step][last])]
            step += 1
        found = [one.tokens + (END,) * one.ended for one in beam.best()]
        assert found == reference(width, tokens_max, tables)
