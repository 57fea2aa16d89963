"""A toy grammar of 20,736 English sentences whose factors are known.

The tests' ground truth: "grammatical", "has the attribute" and "kept the content" are decided by
`parse`, without another model. Sentences have 5 to 12 words out of 107.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from textvae.text.sentence import Sentence

TENSES = ("past", "present", "future")
NUMBERS = ("singular", "plural")
POLARITIES = ("positive", "negative")

# The subject's name -> singular, plural.
SUBJECTS = {
    "teacher": ("teacher", "teachers"),
    "farmer": ("farmer", "farmers"),
    "child": ("child", "children"),
    "sailor": ("young sailor", "young sailors"),
    "king": ("old king", "old kings"),
    "woman": ("woman", "women"),
    "baker": ("baker", "bakers"),
    "soldier": ("tired soldier", "tired soldiers"),
    "singer": ("singer", "singers"),
    "student": ("student", "students"),
    "neighbor": ("neighbor", "neighbors"),
    "thief": ("thief", "thieves"),
}

# The object's name -> its verb (base form, third person, past) and the object itself.
OBJECTS = {
    "letter": ("write", "writes", "wrote", "the letter"),
    "song": ("sing", "sings", "sang", "a song"),
    "bread": ("bake", "bakes", "baked", "bread"),
    "window": ("open", "opens", "opened", "the window"),
    "horse": ("ride", "rides", "rode", "the brown horse"),
    "picture": ("paint", "paints", "painted", "a picture"),
    "apple": ("eat", "eats", "ate", "a red apple"),
    "water": ("drink", "drinks", "drank", "cold water"),
    "boat": ("sell", "sells", "sold", "the boat"),
    "box": ("carry", "carries", "carried", "the heavy box"),
    "key": ("find", "finds", "found", "a key"),
    "birds": ("feed", "feeds", "fed", "the birds"),
}

# The location's name -> its phrase.
LOCATIONS = {
    "kitchen": "in the kitchen",
    "garden": "in the garden",
    "home": "at home",
    "yard": "outside",
    "attic": "upstairs",
    "station": "at the station",
    "river": "near the river",
    "church": "behind the church",
    "bridge": "under the bridge",
    "hill": "on the hill",
    "sea": "by the sea",
    "school": "opposite the school",
}


class Factors(NamedTuple):
    """The factors of a sentence of the grammar."""

    tense: str
    """past, present or future."""
    number: str
    """Of the subject: singular or plural."""
    polarity: str
    """positive or negative."""
    subject: str
    """A key of SUBJECTS."""
    object: str
    """A key of OBJECTS; it decides the verb."""
    location: str
    """A key of LOCATIONS."""


def sentence(factors: Factors) -> str:
    """Return the sentence with these factors: `The old king did not sing a song by the sea.`."""
    singular, plural = SUBJECTS[factors.subject]
    noun = singular if factors.number == "singular" else plural
    thing = OBJECTS[factors.object][-1]
    return f"The {noun} {_verb(factors)} {thing} {LOCATIONS[factors.location]}."


def _verb(factors: Factors) -> str:
    """Return the verb with its auxiliaries: `wrote`, `does not write`, `will write`."""
    base, third, past, _ = OBJECTS[factors.object]
    positive = factors.polarity == "positive"
    if factors.tense == "future":
        return f"will {base}" if positive else f"will not {base}"
    if factors.tense == "past":
        return past if positive else f"did not {base}"
    if factors.number == "singular":
        return third if positive else f"does not {base}"
    return base if positive else f"do not {base}"


def parse(text: str) -> Factors | None:
    """Return the factors of a sentence of the grammar; None for any other text."""
    return _all_sentences().get(text)


def all_factors() -> list[Factors]:
    """Return the factors of every sentence, in a fixed order."""
    return [
        Factors(*values)
        for values in itertools.product(TENSES, NUMBERS, POLARITIES, SUBJECTS, OBJECTS, LOCATIONS)
    ]


def sample(count: int, seed: int) -> list[Sentence]:
    """Return `count` distinct sentences in random order, label = tense.

    Of two samples with one seed the shorter is the beginning of the longer.
    """
    factors = all_factors()
    assert 0 <= count <= len(factors), f"count must be 0 to {len(factors)}, got {count}"
    order = np.random.default_rng(seed).permutation(len(factors))[:count]
    return [Sentence(sentence(factors[row]), factors[row].tense) for row in order]


@functools.cache
def _all_sentences() -> dict[str, Factors]:
    """Return every sentence with its factors, which differ for all sentences: the parser."""
    return {sentence(factors): factors for factors in all_factors()}
