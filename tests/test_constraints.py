"""Constraints: what is locked stands unchanged, whatever the decoder would rather write."""

import functools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests import toys
from tests.compiled import load_decode_native, load_native
from tests.test_decode import run
from textvae.config.data import TokenizerConfig
from textvae.decode.lexicon import Lexicon
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine.constraint import lexicon_of
from textvae.engine.locks import SentenceLocks, locks_of
from textvae.errors import InputError
from textvae.model.exact import BUCKETS, ExactDecoder
from textvae.options import NO_CONSTRAINTS, Constraints, Options, SentenceSpan
from textvae.text.places import Place
from textvae.text.sentence import normalise
from textvae.text.tokenizer import EOS, Tokenizer, train_tokenizer
from textvae.text.words import final_punctuation, stands_alone

SENTENCES = (
    "Please send {order_id} to my office in New York by 10:30am.",
    "I paid £4.50 twice, on 3 May and on 4 May!",
    "我要退货3个苹果",
    "where is my card",
    "Can Ann-Marie pay (24/7) with a Visa card?",
    "राम का घर बड़ा है।",
)
LATENT = 6
TOKENS_MAX = 60


@functools.cache
def tokenizer() -> Tokenizer:
    """A real tokenizer, that has to spell most names and numbers by bytes."""
    texts = [f"{one} where is my order {number}" for one in SENTENCES[3:] for number in "0147"]
    return Tokenizer(train_tokenizer(texts * 8, TokenizerConfig(vocab=330)))


@functools.cache
def lexicon() -> Lexicon:
    """What its tokens spell."""
    return lexicon_of(tokenizer())


@pytest.fixture(scope="module", params=["compiled", "torch"])
def slots(request: pytest.FixtureRequest) -> Slots:
    """Slots of an untrained decoder, which writes nothing that anyone asked for."""
    library = None if request.param == "torch" else load_native()
    decoder: ExactDecoder = toys.untrained_decoder(tokenizer().vocab, LATENT, seed=0)
    with torch.inference_mode():
        decoder.logits.bias[EOS] += 5.0  # some rows end of themselves
    picks = None if library is None else load_decode_native()
    special = SpecialIds(EOS, Tokenizer.forbidden)
    return Slots(decoder.with_gates(library), special, BUCKETS, picks)


def all_locks(
    sentences: Sequence[str], constraints: Constraints, tokens_max: int = TOKENS_MAX
) -> list[SentenceLocks | None]:
    """The locks of sentences."""
    return locks_of(sentences, constraints, tokenizer(), lexicon(), tokens_max)


def locks_for(sentence: str, constraints: Constraints = NO_CONSTRAINTS) -> SentenceLocks:
    """The locks of one sentence."""
    found = all_locks([sentence], constraints)[0]
    assert found
    return found


def rows(locks: SentenceLocks, count: int, **choice: Any) -> list[Row]:
    """Rows under these locks, each with a latent and random numbers of its own."""
    latents = np.random.default_rng(len(locks.texts)).normal(size=(count, LATENT))
    return [
        Row("any", number, latent, TOKENS_MAX, Options(**choice), 7, number)._replace(
            constraint=locks.constraint
        )
        for number, latent in enumerate(latents.astype(np.float32))
    ]


def text_of(finished: FinishedRow) -> str:
    """What a row wrote."""
    return tokenizer().decode([finished.tokens])[0]


def outcome(finished: FinishedRow) -> tuple[object, ...]:
    return tuple(finished.tokens), finished.log_prob, finished.ended


WAYS = [{}, {"temperature": 1.0}, {"temperature": 0.7, "top_k": 20, "no_repeat": 2}]
EVERY = Constraints(
    numbers=True,
    capitalised=True,
    patterns=("(?i)card|order", "退货"),
    banned=("where", "apple"),
    characters_min=5,
    characters_max=140,
    keep_final_punctuation=True,
)


@pytest.mark.parametrize("sentence", SENTENCES)
@torch.inference_mode()
def test_every_row_holds_all_that_its_sentence_locks(sentence: str, slots: Slots) -> None:
    locks = locks_for(sentence, EVERY)
    ended = 0
    found = [one for way in WAYS for one in run(slots, rows(locks, 40, **way)).values()]
    for finished in found:
        text = text_of(finished)
        places = locks.places(text)
        assert places is not None, text
        assert [text[slice(*place)] for place in places] == list(locks.texts)
        others = "".join(
            char
            for index, char in enumerate(text)
            if not any(place.start <= index < place.end for place in places)
        )
        assert not any(map(str.isdigit, others)), text
        if finished.ended:
            ended += 1
            assert locks.broken(text) is None, text
            assert 5 <= len(text) <= 140
            assert final_punctuation(text) == final_punctuation(sentence)
    assert ended


@pytest.mark.parametrize("way", WAYS)
@torch.inference_mode()
def test_a_constrained_row_is_the_same_in_any_company(way: dict[str, Any], slots: Slots) -> None:
    mine = rows(locks_for(SENTENCES[0], EVERY), 5, **way)
    alone = [outcome(next(iter(run(slots, [row]).values()))) for row in mine]
    crowd = rows(locks_for(SENTENCES[1], EVERY), 60, temperature=1.3)
    crowd = [row._replace(owner="other") for row in crowd]
    together = run(slots, [*crowd[:20], *mine, *crowd[20:]])
    assert [outcome(together["any", row.number]) for row in mine] == alone


@torch.inference_mode()
def test_the_log_probability_of_a_forced_row_is_that_of_its_tokens(slots: Slots) -> None:
    locks = locks_for(SENTENCES[0], Constraints(numbers=True))
    for finished in run(slots, rows(locks, 20, no_repeat=1)).values():
        assert np.isfinite(finished.log_prob)
        if finished.ended:
            again = finished.row._replace(constraint=None, targets=tuple(finished.tokens))
            scored = next(iter(run(slots, [again]).values()))
            assert scored.log_prob == pytest.approx(finished.log_prob, rel=1e-6)


def test_nothing_is_locked_where_nothing_is_asked_but_names_in_braces() -> None:
    sentences = (SENTENCES[3], SENTENCES[0])
    free, locked = all_locks(sentences, NO_CONSTRAINTS)
    assert free is None
    assert locked
    assert locked.texts == ("{order_id}",)
    assert all_locks(sentences, Constraints(slots=False)) == [
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ("Caf\u0065\u0301  is  open", "Café"),
        ("a  b\tc", "b\tc"),
        ("\ue000 odd \ue001", " odd "),
        ("x\x00y z", "y"),
    ],
)
def test_a_span_is_of_the_sentence_as_it_is_sent(raw: str, part: str) -> None:
    part = part if part in raw else "Cafe\u0301"
    start = raw.index(part)
    span = SentenceSpan(0, start, start + len(part))
    assert locks_for(raw, Constraints(spans=(span,))).texts == (normalise(part),)


REFUSED = {
    "a word that is not there": (
        Constraints(words=("card", "cat")),
        r"constraints.words\[1\]: must stand in every sentence",
    ),
    "a word that is only part of one": (
        Constraints(words=("car",)),
        r"constraints.words\[0\]: must stand in every sentence, as it is written",
    ),
    "a word in another case": (Constraints(words=("CARD",)), r"constraints.words\[0\]: must"),
    "a span past the end": (
        Constraints(spans=(SentenceSpan(0, 3, 17),)),
        r"constraints.spans\[0\]: must be a span of its sentence, 0 <= start < end <= 16",
    ),
    "an empty span": (Constraints(spans=(SentenceSpan(0, 3, 3),)), r"spans\[0\]: must be a span"),
    "a span of a space": (
        Constraints(spans=(SentenceSpan(0, 5, 6),)),
        r"spans\[0\]: must hold a character that can be seen",
    ),
    "spans that overlap": (
        Constraints(spans=(SentenceSpan(0, 0, 8), SentenceSpan(0, 6, 11))),
        r"constraints.spans\[1\]: overlaps another lock of sentences\[0\]",
    ),
    "a word within a span": (
        Constraints(words=("my",), spans=(SentenceSpan(0, 6, 11),)),
        r"overlaps another lock of sentences\[0\]",
    ),
    "a banned word that is locked": (
        Constraints(words=("my card",), banned=("bus", "CARD")),
        r"constraints.banned\[1\]: stands in a lock of sentences\[0\]",
    ),
    "locks longer than a variation": (
        Constraints(words=("where", "my card"), characters_max=12),
        r"constraints.characters_max: must leave room for the locks of sentences\[0\], 13 char",
    ),
    "a pattern that does not compile": (
        Constraints(patterns=("a", "(")),
        r"constraints.patterns\[1\]: must be a regular expression: missing \)",
    ),
    "a pattern that looks around": (
        Constraints(patterns=("(?<=a)b",)),
        r"constraints.patterns\[0\]: must be a regular expression: .*no look-around",
    ),
    "a pattern that would not end": (
        Constraints(patterns=("((a{1000}){1000}){1000}",)),
        r"constraints.patterns\[0\]: must be a regular expression",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_constraints_that_cannot_hold_are_refused(name: str) -> None:
    constraints, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        locks_for(SENTENCES[3], constraints)


def test_locks_of_more_tokens_than_a_variation_may_have_are_refused() -> None:
    with pytest.raises(InputError, match=r"locks of sentences\[1\] take \d+ tokens and a varia"):
        locks_of(
            SENTENCES[3:5], Constraints(numbers=True, capitalised=True), tokenizer(), lexicon(), 12
        )


def test_a_pattern_takes_time_linear_in_the_sentence() -> None:
    sentence = "a" * 5000 + " b"
    locks = locks_of(
        [sentence], Constraints(patterns=("(a*)*c|b",)), tokenizer(), lexicon(), TOKENS_MAX
    )[0]
    assert locks
    assert locks.texts == ("b",)


def test_overlapping_matches_are_one_lock_and_each_occurrence_is_a_lock() -> None:
    sentence = "pay 5 and 5 for {slot5} now"
    constraints = Constraints(numbers=True, patterns=("for .slot", "z*"))
    assert locks_for(sentence, constraints).texts == ("5", "5", "for {slot5}")
    locks = locks_for(sentence, Constraints(numbers=True))
    assert locks.places("now 5 for {slot5}") is None
    assert locks.places("5 {slot5} 5") == [Place(0, 1), Place(10, 11), Place(2, 9)]


@torch.inference_mode()
def test_banned_words_are_in_no_row_whatever_is_drawn(slots: Slots) -> None:
    words = sorted({piece.strip() for piece in tokenizer().pieces() if piece.strip().isalpha()})
    banned = tuple(random.Random(0).sample(words, 40))
    locks = locks_for(SENTENCES[3], Constraints(banned=banned))
    for finished in run(slots, rows(locks, 40, temperature=1.0)).values():
        text = text_of(finished).casefold()
        for word in banned:
            start = text.find(word.casefold())
            assert start < 0 or not stands_alone(text, start, start + len(word)), (word, text)
    assert lexicon().characters.sum() > 300


@pytest.mark.parametrize(
    ("sentence", "upper", "lower"),
    [("where is it", False, True), ("WHERE IS IT", True, False), ("Where is it", True, True)],
)
@torch.inference_mode()
def test_case_is_kept_on_request(sentence: str, upper: bool, lower: bool, slots: Slots) -> None:
    locks = locks_for(sentence, Constraints(keep_case=True))
    for finished in run(slots, rows(locks, 40, temperature=1.0)).values():
        text = text_of(finished)
        first = next(filter(str.isalpha, text), "")
        if first.isupper() or first.islower():
            assert first.isupper() is sentence[0].isupper(), text


@torch.inference_mode()
def test_no_row_has_more_characters_than_it_may(slots: Slots) -> None:
    locks = locks_for(SENTENCES[3], Constraints(words=("my card",), characters_max=20))
    done = [text_of(one) for way in WAYS for one in run(slots, rows(locks, 40, **way)).values()]
    assert max(map(len, done)) in range(10, 21)
