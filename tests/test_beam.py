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
    return [Row(owner, number, latent, tokens_max, choice) for number, latent in enumerate(latents)]


def run(decoder: ExactDecoder, waiting: list[Row]) -> dict[tuple[str, int], FinishedRow]:
    """Everything that comes out, rows joining as soon as there is room."""
    slots, done = Slots(decoder, SpecialIds(BEGIN, END, (BEGIN,)), BUCKETS), {}
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
