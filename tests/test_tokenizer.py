"""The tokenizer loses nothing, writes nothing unknown, and is the same every time."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textvae.config.data import TokenizerConfig
from textvae.corpus.toy_grammar import sample
from textvae.errors import DataError, InputError
from textvae.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer, draw_sentences, train_tokenizer

TOY = [sentence.text for sentence in sample(2000, seed=0)]
CONFIG = TokenizerConfig(vocab=500)


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """A small tokenizer of each kind, trained on toy sentences."""
    config = TokenizerConfig(vocab=500, kind=request.param)
    return Tokenizer(train_tokenizer(TOY, config))


UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
MARKS = st.text(
    st.sampled_from(["\u2581", "\u2585", " ", "a", "é", "\0", "\ufffd", "👍", "\u200d"])
)


@settings(deadline=None)
@given(sentences=st.lists(UNICODE | MARKS, max_size=5))
def test_every_sentence_comes_back_as_it_was(tokenizer: Tokenizer, sentences: list[str]) -> None:
    """Any Unicode text, alone or among others, and no id of it is a special one."""
    ids = tokenizer.encode(sentences)
    assert tokenizer.decode(ids) == sentences
    special = {PAD, BOS, EOS, UNK}
    assert not special.intersection(token for tokens in ids for token in tokens)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        " ",
        "  two  spaces  ",
        "<s> </s> <unk> <pad> <0x41>",
        "\u2581 marks \u2581\u2581x\u2581",
        " \u2047 \ufffd",
        "control \x00 \x07 \x1b \u0085",
        "👩‍👩‍👧 ❤️ half \u200d\ufe0f of one",
        "line\nend\r\n",
        "e\u0301 is not \u00e9",
        "\U0010ffff \ue000",
    ],
)
def test_awkward_sentences_come_back_as_they_were(tokenizer: Tokenizer, sentence: str) -> None:
    """Names of special tokens, the space mark, controls, parts of emoji, unnormalised text."""
    assert tokenizer.decode(tokenizer.encode([sentence])) == [sentence]


def test_a_tokenizer_that_never_saw_a_space_keeps_spaces() -> None:
    """A space unknown to the vocabulary once came back as the mark SentencePiece writes for it."""
    tokenizer = Tokenizer(train_tokenizer(["abab", "cd"], CONFIG))
    assert tokenizer.decode(tokenizer.encode(["a b"])) == ["a b"]


def test_neighbours_do_not_change_a_sentence(tokenizer: Tokenizer) -> None:
    """One mark in a list sends that list another way; the ids stay the same."""
    alone = [tokenizer.encode([sentence])[0] for sentence in TOY[:50]]
    assert tokenizer.encode(TOY[:50]) == alone
    assert tokenizer.encode([*TOY[:50], "\u2581"])[:50] == alone


def test_nothing_in_gives_nothing_out(tokenizer: Tokenizer) -> None:
    """No sentences are no sentences, and no ids are an empty one."""
    assert tokenizer.encode([]) == []
    assert tokenizer.decode([]) == []
    assert tokenizer.decode([[]]) == [""]


def test_special_ids_are_left_out_of_the_text(tokenizer: Tokenizer) -> None:
    """A decoder's row may still carry its ends and padding, as ints or as an array."""
    [ids] = tokenizer.encode(["The king."])
    row = [BOS, *ids, EOS, PAD, UNK]
    assert tokenizer.decode([row]) == tokenizer.decode(np.array([row])) == ["The king."]


def test_bytes_that_are_no_text_become_replacement_characters(tokenizer: Tokenizer) -> None:
    """A decoder may write any bytes; what comes out is still Unicode."""
    ids = tokenizer.encode(["\U0010ffff"])[0]
    [text] = tokenizer.decode([ids[:-1]])
    assert "\ufffd" in text
    text.encode("utf-8")


def test_a_lone_surrogate_is_refused_with_its_position(tokenizer: Tokenizer) -> None:
    """It is no character, and UTF-8 cannot say it."""
    with pytest.raises(InputError) as caught:
        tokenizer.encode(["fine", "half \ud83d"])
    assert caught.value.field == "sentences[1]"
    assert "character 5 is a lone surrogate" in str(caught.value)


def test_a_decoder_may_end_but_not_pad_begin_or_not_know() -> None:
    """EOS is the one special id that it writes."""
    assert Tokenizer.forbidden == (PAD, BOS, UNK)
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)


def test_the_vocabulary_has_the_wished_size_where_the_corpus_allows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then there is nothing to say."""
    model = train_tokenizer(TOY, TokenizerConfig(vocab=320))
    assert Tokenizer(model).vocab == 320
    assert not caplog.records


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_corpus_too_small_gets_a_smaller_vocabulary_and_says_so(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has both numbers, and all is still lossless."""
    with caplog.at_level(logging.WARNING):
        config = TokenizerConfig(vocab=8000, kind=kind)  # type: ignore[arg-type]
        tokenizer = Tokenizer(train_tokenizer(["hello there", "hello world"], config))
    assert 260 < tokenizer.vocab < 400
    assert caplog.messages == [
        f"vocabulary: 8000 tokens wished, {tokenizer.vocab} made; 2 sentences hold no more"
    ]
    assert tokenizer.decode(tokenizer.encode(["hello ünknown"])) == ["hello ünknown"]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(
    "texts",
    [["a"], ["ok", "no"], list("abcdefgh"), ["\u9000", "\u8d27"], ["\U0001f600"], ["\u2581", "a"],
     [str(number) for number in range(100)]],
    ids=["one", "two", "letters", "han", "emoji", "mark", "digits"],
)  # fmt: skip
def test_sentences_of_one_or_two_characters_are_a_corpus(kind: str, texts: list[str]) -> None:
    config = TokenizerConfig(vocab=8000, kind=kind)  # type: ignore[arg-type]
    tokenizer = Tokenizer(train_tokenizer(texts, config))
    assert tokenizer.decode(tokenizer.encode(texts)) == texts


def test_text_that_gives_no_vocabulary_is_the_text_s_fault_in_words() -> None:
    with pytest.raises(DataError, match=r'give more text, or set tokenizer\.kind to "bpe"$'):
        train_tokenizer(["<s>", "</s>"], TokenizerConfig(vocab=300, kind="unigram"))


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_same_sentences_and_seed_give_the_same_bytes(kind: str) -> None:
    """Also where only some of the sentences are used; another seed uses others."""
    config = TokenizerConfig(vocab=400, kind=kind)  # type: ignore[arg-type]
    first, again, other = (
        train_tokenizer(draw_sentences(TOY, 200, seed), config) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_sentences_are_drawn_once_each_and_in_their_order() -> None:
    """And all of them where there are no more than wished."""
    some = draw_sentences(range(1000), 100, seed=3)
    assert len(set(some)) == 100
    assert list(some) == sorted(some)
    assert draw_sentences([2, 1], 2, seed=0) == [2, 1]


def test_a_vocabulary_below_its_floor_is_refused_with_the_floor() -> None:
    """Bytes, special tokens and characters need room before any word does."""
    message = r"tokenizer\.vocab: must hold 4 .* got 100; set it to (\d+) or more"
    with pytest.raises(InputError, match=message) as caught:
        train_tokenizer(TOY, TokenizerConfig(vocab=100))
    floor = int(str(caught.value).split()[-3])
    assert Tokenizer(train_tokenizer(TOY, TokenizerConfig(vocab=floor))).vocab == floor


def test_text_without_a_visible_character_is_refused() -> None:
    """So is a limit of no sentence at all."""
    for sentences in ([], [" ", "\u2581"]):
        with pytest.raises(DataError, match="at least one sentence is needed"):
            train_tokenizer(sentences, CONFIG)
    with pytest.raises(InputError, match=r"tokenizer\.sentences_max: must be 1 or more, got 0"):
        TokenizerConfig(sentences_max=0)


def test_sentences_that_the_trainer_would_skip_are_learned_from() -> None:
    """Long lines and reserved characters are silently left out by SentencePiece alone."""
    word, config = "zyzzyva", TokenizerConfig(vocab=500, kind="bpe")
    for sentence in (f"{word} " * 2000, f"\u2581 {word} \u2585 {word}", f"{word}\0{word}"):
        tokenizer = Tokenizer(train_tokenizer([sentence] * 5, config))
        assert len(tokenizer.encode([word])[0]) < len(word)
