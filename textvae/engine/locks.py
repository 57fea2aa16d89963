"""Locks: what must stand unchanged in every variation of a sentence, and what may not stand there.

From a request's constraints and a sentence comes a constraint of the decoder, and the check of what
it generated. Patterns are matched by RE2, in time linear in the sentence.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import re2

from textvae.decode.constraint import Constraint
from textvae.decode.lexicon import Lexicon
from textvae.engine.candidates import Broken
from textvae.engine.constraint import constraint_of, lock_of
from textvae.errors import InputError
from textvae.options import Constraints
from textvae.text.places import (
    Place,
    has_phrase,
    names_of,
    normal_place,
    numbers_of,
    occurrences,
    slots_of,
    united_places,
)
from textvae.text.sentence import normalise
from textvae.text.tokenizer import Tokenizer
from textvae.text.words import final_punctuation, stands_alone


def check_patterns(patterns: Sequence[str]) -> None:
    """Raise InputError for a pattern that is no regular expression of RE2."""
    for number, pattern in enumerate(patterns):
        _compile(f"constraints.patterns[{number}]", pattern)


def _compile(field: str, pattern: str) -> "re2._Regexp[str]":
    """Return the compiled pattern; raise InputError where it is none of RE2."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        words = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        fix = "write it in RE2's syntax, which has no look-around and no back-references"
        raise InputError(field, f"must be a regular expression: {words}; {fix}") from None


class SentenceLocks(NamedTuple):
    """What every variation of one sentence must hold."""

    constraint: Constraint
    texts: tuple[str, ...]
    """The locks, in the order of the sentence."""

    def places(self, text: str) -> list[Place] | None:
        """Return where each lock stands in a text, no two at one place; None unless all do."""
        found: dict[int, Place] = {}
        locks = self.constraint.locks
        for number in sorted(range(len(locks)), key=lambda each: -len(locks[each].text)):
            place = next(
                (
                    place
                    for place in occurrences(locks[number].text, text)
                    if (locks[number].joins or stands_alone(text, *place))
                    and not any(place.overlaps(other) for other in found.values())
                ),
                None,
            )
            if place is None:
                return None
            found[number] = place
        return [found[number] for number in range(len(locks))]

    def broken(self, text: str) -> Broken | None:
        """Return why a text does not hold the constraint; None where it does."""
        held = self.constraint
        if not held.characters_min <= len(text) <= (held.characters_max or len(text)):
            return "length"
        ends = held.final is None or final_punctuation(text) == held.final
        if ends and not any(has_phrase(text, phrase) for phrase in held.banned):
            return None if self.places(text) is not None else "lock-unmet"
        return "lock-unmet"


def locks_of(
    sentences: Sequence[str],
    constraints: Constraints,
    tokenizer: Tokenizer,
    lexicon: Lexicon,
    tokens_max: int,
) -> list[SentenceLocks | None]:
    """Return what holds for the variations of each sentence; None where nothing does.

    Raise InputError naming the field of a lock that its sentence does not have, that overlaps
    another one, or that the other limits leave no room for.
    """
    patterns = [
        _compile(f"constraints.patterns[{number}]", pattern)
        for number, pattern in enumerate(constraints.patterns)
    ]
    banned = tuple(normalise(phrase).casefold() for phrase in constraints.banned)
    found: list[SentenceLocks | None] = []
    for number, raw in enumerate(sentences):
        sentence = normalise(raw)
        places = _places(raw, sentence, number, constraints, patterns)
        _check_room(
            f"sentences[{number}]", [sentence[slice(*each)] for each in places], constraints
        )
        if not (places or constraints.bind_all):
            found.append(None)
            continue
        locks = tuple(lock_of(sentence, place, tokenizer, lexicon) for place in places)
        tokens = sum(lock.tokens_most for lock in locks)
        if tokens >= tokens_max:
            raise InputError(
                "constraints",
                f"locks of sentences[{number}] take {tokens} tokens and a variation has at most "
                f"{tokens_max}; lock less or raise options.tokens_max",
            )
        constraint = constraint_of(sentence, locks, banned, constraints, tokenizer, lexicon)
        texts = tuple(lock.text for lock in locks)
        _check_banned(texts, constraints, number)
        found.append(SentenceLocks(constraint, texts))
    return found


def _places(
    raw: str,
    sentence: str,
    number: int,
    constraints: Constraints,
    patterns: "Sequence[re2._Regexp[str]]",
) -> list[Place]:
    """Return the locked parts of a sentence in normal form, in order and apart."""
    chosen: list[tuple[str, Place]] = []
    for index, phrase in enumerate(constraints.words):
        field = f"constraints.words[{index}]"
        own = [
            place
            for place in occurrences(normalise(phrase), sentence)
            if stands_alone(sentence, *place)
        ]
        if not own:
            raise InputError(
                field,
                f"must stand in every sentence, as it is written and as words of its own, and does "
                f"not in sentences[{number}]; lock what only some sentences have by a pattern",
            )
        chosen += [(field, place) for place in own]
    for index, span in enumerate(constraints.spans):
        if span.sentence == number:
            field = f"constraints.spans[{index}]"
            chosen.append((field, normal_place(field, raw, sentence, span.start, span.end)))
    chosen.sort(key=lambda each: each[1])
    for (_, before), (field, after) in itertools.pairwise(chosen):
        if before.overlaps(after):
            raise InputError(field, f"overlaps another lock of sentences[{number}]; lock it once")
    automatic = [
        Place(*match.span()) for pattern in patterns for match in pattern.finditer(sentence)
    ]
    if constraints.slots:
        automatic += slots_of(sentence)
    if constraints.numbers:
        automatic += numbers_of(sentence)
    if constraints.capitalised:
        automatic += names_of(sentence)
    return united_places([place for _, place in chosen] + automatic)


def _check_banned(texts: Sequence[str], constraints: Constraints, number: int) -> None:
    """Raise InputError for a banned phrase that a lock has."""
    for index, phrase in enumerate(constraints.banned):
        if any(has_phrase(text, normalise(phrase).casefold()) for text in texts):
            raise InputError(
                f"constraints.banned[{index}]",
                f"stands in a lock of sentences[{number}], which must stay; unlock it or allow it",
            )


def _check_room(name: str, texts: Sequence[str], constraints: Constraints) -> None:
    """Raise InputError where the locks alone are longer than a variation may be."""
    needed = sum(map(len, texts)) + max(len(texts) - 1, 0)
    if constraints.characters_max and needed > constraints.characters_max:
        raise InputError(
            "constraints.characters_max",
            f"must leave room for the locks of {name}, {needed} characters, "
            f"got {constraints.characters_max}; raise it or lock less",
        )
