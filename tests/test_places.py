"""Places of a sentence that can be locked, in any script."""

import pytest

from textvae.text.places import names_of, numbers_of, slots_of
from textvae.text.words import joins_words, stands_alone


@pytest.mark.parametrize(
    ("sentence", "texts"),
    [
        ("I paid £4.50 twice, on 3 May", ["£4.50", "3"]),
        ('at "10:30am" (24/7) costs 5%.', ["10:30am", "24/7", "5%"]),
        ("我要3个苹果\uff0c4个梨", ["3", "4"]),
        ("room A4 and ٣ more, call +49-30-1234!", ["A4", "٣", "+49-30-1234"]),
        ("nothing here", []),
    ],
)
def test_a_number_has_its_currency_and_unit_and_no_punctuation(
    sentence: str, texts: list[str]
) -> None:
    assert [sentence[slice(*place)] for place in numbers_of(sentence)] == texts


@pytest.mark.parametrize(
    ("sentence", "texts"),
    [
        ("Where does Ann-Marie Smith live, in New York?", ["Ann-Marie Smith", "New York"]),
        ("I think I like A and Élan", ["Élan"]),
        ("ask IBM's Bob", ["IBM", "Bob"]),
        ("знаю Москву", ["Москву"]),
    ],
)
def test_a_name_is_words_in_upper_case_next_to_each_other(sentence: str, texts: list[str]) -> None:
    assert [sentence[slice(*place)] for place in names_of(sentence)] == texts


def test_a_slot_is_a_name_in_braces_without_a_space() -> None:
    sentence = "{a} { b } {c-d.e} {} {{x}} {未}"
    texts = [sentence[slice(*place)] for place in slots_of(sentence)]
    assert texts == ["{a}", "{c-d.e}", "{x}", "{未}"]


@pytest.mark.parametrize(
    ("text", "place", "alone"),
    [
        ("a car here", (2, 5), True),
        ("a cart here", (2, 5), False),
        ("我要退货了", (2, 4), True),
        ("राम का घर", (4, 5), False),
        ("(car)", (1, 4), True),
    ],
)
def test_a_word_of_its_own_is_known_in_every_script(
    text: str, place: tuple[int, int], alone: bool
) -> None:
    assert stands_alone(text, *place) is alone
    assert [joins_words(char) for char in "aि货-"] == [True, True, False, False]
