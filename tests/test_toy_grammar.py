"""The toy grammar is a ground truth: one sentence for each set of factors and back."""

from collections import Counter

import pytest

from textvae.corpus.toy_grammar import Factors, all_factors, parse, sample, sentence


def test_every_sentence_says_its_factors_and_no_two_say_the_same() -> None:
    """About 20,000 sentences, and the parser gives back what made each."""
    factors = all_factors()
    assert len(factors) == len(set(factors)) == 20_736
    assert len({sentence(each) for each in factors}) == 20_736
    assert all(parse(sentence(each)) == each for each in factors)


def test_sentences_are_short_and_words_few() -> None:
    """5 to 12 words a sentence, under 400 in all."""
    words = [sentence(factors).split() for factors in all_factors()]
    assert {len(each) for each in words} <= set(range(5, 13))
    assert len({word for each in words for word in each}) < 400


@pytest.mark.parametrize(
    ("factors", "text"),
    [
        (
            ("past", "singular", "positive", "child", "letter", "home"),
            "The child wrote the letter at home.",
        ),
        (
            ("past", "plural", "negative", "child", "song", "sea"),
            "The children did not sing a song by the sea.",
        ),
        (
            ("present", "singular", "positive", "king", "box", "hill"),
            "The old king carries the heavy box on the hill.",
        ),
        (
            ("present", "plural", "positive", "thief", "bread", "yard"),
            "The thieves bake bread outside.",
        ),
        (
            ("present", "singular", "negative", "baker", "water", "attic"),
            "The baker does not drink cold water upstairs.",
        ),
        (
            ("future", "plural", "positive", "woman", "birds", "river"),
            "The women will feed the birds near the river.",
        ),
    ],
)
def test_the_sentences_are_english(factors: tuple[str, ...], text: str) -> None:
    """Irregular nouns and verbs, agreement and auxiliaries, by example."""
    assert sentence(Factors(*factors)) == text
    assert parse(text) == Factors(*factors)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The child write the letter at home.",
        "The child writes the letter at home",
        "the child writes the letter at home.",
        "The child writes the letter at home. ",
        "The child writes  the letter at home.",
        "The children writes the letter at home.",
        "The child did not wrote the letter at home.",
        "The child writes a song at home.",
        "The child writes the letter at home by the sea.",
        "The letter writes the child at home.",
    ],
)
def test_what_the_grammar_does_not_write_is_no_sentence_of_it(text: str) -> None:
    """Wrong agreement, wrong verb, wrong order, a space too many: None."""
    assert parse(text) is None


def test_a_sample_is_distinct_and_labelled_with_its_tense() -> None:
    """All three tenses, about evenly."""
    sentences = sample(3000, seed=0)
    assert len({each.text for each in sentences}) == 3000
    for each in sentences:
        factors = parse(each.text)
        assert factors is not None
        assert each.label == factors.tense
    assert min(Counter(each.label for each in sentences).values()) > 900


def test_a_shorter_sample_begins_the_longer_one_of_its_seed() -> None:
    """So the rest of the longer one is new text; another seed is another order."""
    assert sample(500, seed=0)[:100] == sample(100, seed=0)
    assert sample(100, seed=0) != sample(100, seed=1)
    assert sample(0, seed=0) == []
