"""Places of a sentence that can be locked: numbers, names, slots, phrases and spans."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from textvae.errors import InputError
from textvae.text.sentence import normalise
from textvae.text.words import joins_words, stands_alone

SLOT = re.compile(r"\{[^{}\s]+\}")
DIGITS = re.compile(r"\d+")
WORD = re.compile(r"[^\W\d_]+")
BESIDE_NUMBERS = (
    "\"'()[]{}<>.,;:!?\u2026\u00ab\u00bb\u201c\u201d\u2018\u2019\u3001\u3002\uff0c\uff01\uff1f"
)
"""Signs at the ends of a word with digits that are not the number's."""
PRIVATE = range(0xE000, 0xF900)
"""Characters of no meaning: two of them mark a span while the sentence is normalised."""


class Place(NamedTuple):
    """A part of a sentence, in characters."""

    start: int
    end: int

    def overlaps(self, other: "Place") -> bool:
        """Return whether the two share a character."""
        return self.start < other.end and other.start < self.end


def united_places(places: Sequence[Place]) -> list[Place]:
    """Return the places in order, those that overlap as one, without empty ones."""
    united: list[Place] = []
    for place in sorted(place for place in places if place.start < place.end):
        if united and united[-1].overlaps(place):
            united[-1] = Place(united[-1].start, max(united[-1].end, place.end))
        else:
            united.append(place)
    return united


def occurrences(phrase: str, text: str) -> Iterator[Place]:
    """Yield where a phrase stands in a text, from left to right and apart."""
    start = text.find(phrase) if phrase else -1
    while start >= 0:
        yield Place(start, start + len(phrase))
        start = text.find(phrase, start + len(phrase))


def numbers_of(sentence: str) -> list[Place]:
    """Return the words with digits, with their currency and unit, without punctuation around."""
    places: list[Place] = []
    for match in DIGITS.finditer(sentence):
        start, end = match.span()
        if places and start < places[-1].end:
            continue
        while start and _is_in_number(sentence[start - 1]):
            start -= 1
        while end < len(sentence) and _is_in_number(sentence[end]):
            end += 1
        while sentence[start] in BESIDE_NUMBERS:
            start += 1
        while sentence[end - 1] in BESIDE_NUMBERS:
            end -= 1
        places.append(Place(start, end))
    return places


def _is_in_number(character: str) -> bool:
    """Return whether a character belongs to a number's word: no space, and no letter of a script
    without spaces."""
    return not character.isspace() and (joins_words(character) or not character.isalpha())


def names_of(sentence: str) -> list[Place]:
    """Return the words of two letters or more that begin in upper case, but for the first word of
    the sentence; words next to each other are one name."""
    places: list[Place] = []
    for match in WORD.finditer(sentence):
        word = match.group()
        if match.start() == 0 or len(word) < 2 or not word[0].isupper():
            continue
        joined = bool(places) and sentence[places[-1].end : match.start()] in (" ", "-", "'")
        if joined:
            places[-1] = Place(places[-1].start, match.end())
        else:
            places.append(Place(*match.span()))
    return places


def normal_place(field: str, raw: str, sentence: str, start: int, end: int) -> Place:
    """Return a span of a sentence as it was sent as a place of its normal form."""
    if not 0 <= start < end <= len(raw):
        limit = f"must be a span of its sentence, 0 <= start < end <= {len(raw)} characters"
        raise InputError(field, f"{limit}, got {start} to {end}")
    while start < end and raw[start].isspace():
        start += 1
    while start < end and raw[end - 1].isspace():
        end -= 1
    opening, closing = itertools.islice((chr(c) for c in PRIVATE if chr(c) not in raw), 2)
    marked = normalise(raw[:start] + opening + raw[start:end] + closing + raw[end:])
    if marked.replace(opening, "").replace(closing, "") != sentence:
        raise InputError(field, "splits a character from its marks; begin and end between letters")
    place = Place(marked.index(opening), marked.index(closing) - 1)
    if place.start == place.end:
        raise InputError(field, "must hold a character that can be seen; choose another span")
    return place


def has_phrase(text: str, phrase: str) -> bool:
    """Return whether a text has the phrase, without its case, as words of its own."""
    folded = text.casefold()
    return any(stands_alone(folded, *place) for place in occurrences(phrase, folded))


def slots_of(sentence: str) -> list[Place]:
    """Return the names in braces, `{order_id}`."""
    return [Place(*match.span()) for match in SLOT.finditer(sentence)]
