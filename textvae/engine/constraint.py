"""The decoder's constraint of a sentence: its locks as tokens, its bounds as masks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textvae.decode.constraint import Constraint, Lock
from textvae.decode.lexicon import Lexicon
from textvae.options import Constraints
from textvae.text.places import Place, has_phrase
from textvae.text.tokenizer import EOS, Tokenizer
from textvae.text.words import final_punctuation, joins_words


def lexicon_of(tokenizer: Tokenizer) -> Lexicon:
    """Return what the tokens of a vocabulary spell."""
    pieces = tokenizer.pieces()
    stripped = [piece.lstrip() for piece in pieces]
    firsts = [next(filter(str.isalpha, piece), "") for piece in pieces]
    is_byte = np.array(tokenizer.are_bytes()) & np.array([not piece for piece in pieces])

    def mask(texts: Sequence[str], test: str) -> np.ndarray:
        return np.array([any(getattr(char, test)() for char in text) for text in texts])

    return Lexicon(
        tokenizer.spell,
        tuple(pieces),
        joins_words,
        np.where(is_byte, 1, [len(piece) for piece in pieces]),
        is_byte | [bool(piece) and joins_words(piece[0]) for piece in pieces],
        mask(pieces, "isdigit"),
        np.array(["{" in piece for piece in pieces]),
        mask(pieces, "isupper"),
        mask(pieces, "islower"),
        mask(firsts, "isupper"),
        mask(firsts, "islower"),
        np.array([bool(piece) and final_punctuation(piece) == piece for piece in stripped]),
        is_byte,
    )


def lock_of(sentence: str, place: Place, tokenizer: Tokenizer, lexicon: Lexicon) -> Lock:
    """Return the lock of a part of a sentence."""
    text = sentence[slice(*place)]
    before, after = sentence[: place.start], sentence[place.end :]
    spaced, bare = (tuple(ids) for ids in tokenizer.encode([" " + text, text]))
    glued_before = bool(before) and joins_words(before[-1]) and joins_words(text[0])
    is_in_script = bool(before) and before[-1].isalpha() and not joins_words(before[-1])
    signs = {bare[0]} if _is_space(lexicon, spaced[0]) else {spaced[0], bare[0]}
    more = np.zeros(len(lexicon.characters), bool)
    if any(char.isdigit() for char in text):
        more |= lexicon.digits
    if "{" in text:
        more |= lexicon.braces
    ids = np.array(sorted(signs | set(np.flatnonzero(more).tolist())), np.int64)
    return Lock(
        text,
        spaced,
        bare,
        joins=glued_before or is_in_script,
        follows_space=not before or before[-1].isspace(),
        bounded=not (after and joins_words(after[0])),
        neighbour=_neighbour(before),
        signs=ids,
    )


def _neighbour(before: str) -> str | None:
    """Return the last word before a lock: empty for none, None where the lock is part of it."""
    if before and not before[-1].isspace():
        return None
    return before.split()[-1].casefold() if before else ""


def _is_space(lexicon: Lexicon, token: int) -> bool:
    """Return whether a token is a space alone, which says nothing of what comes next."""
    return not lexicon.spell([token]).strip()


class _Case(NamedTuple):
    """What the letters of a sentence say of the case of its variations."""

    no_upper: bool = False
    no_lower: bool = False
    first: str = ""
    """Case of the first letter, upper or lower, where the sentence begins with it."""

    @classmethod
    def of(cls, sentence: str) -> "_Case":
        """Return the case that a variation of the sentence keeps."""
        first = "upper" if sentence[0].isupper() else "lower" if sentence[0].islower() else ""
        upper, lower = (any(map(test, sentence)) for test in (str.isupper, str.islower))
        return cls(not upper, not lower, first)

    def forbids(self, character: str, is_first: bool) -> bool:
        """Return whether a character has another case."""
        upper = self.no_upper or (is_first and self.first == "lower")
        lower = self.no_lower or (is_first and self.first == "upper")
        return (upper and character.isupper()) or (lower and character.islower())


def constraint_of(
    sentence: str,
    locks: tuple[Lock, ...],
    banned: tuple[str, ...],
    constraints: Constraints,
    tokenizer: Tokenizer,
    lexicon: Lexicon,
) -> Constraint:
    """Return the decoder's constraint of one sentence."""
    mask = np.zeros(len(lexicon.characters), bool)
    case = _Case.of(sentence) if constraints.keep_case else _Case()
    if constraints.numbers:
        mask |= lexicon.digits
    if constraints.slots and any("{" in lock.text for lock in locks):
        mask |= lexicon.braces
    if case.no_upper:
        mask |= lexicon.upper
    if case.no_lower:
        mask |= lexicon.lower
    first_mask = {"upper": lexicon.begins_lower, "lower": lexicon.begins_upper}.get(case.first)

    def forbids(character: str, is_first: bool) -> bool:
        digit = constraints.numbers and character.isdigit()
        return digit or case.forbids(character, is_first)

    final = final_punctuation(sentence) if constraints.keep_final_punctuation else None
    final_tokens = tuple(tokenizer.encode([final])[0]) if final else ()
    if final is not None:
        mask |= lexicon.final
        if len(final_tokens) == 1:
            mask[final_tokens[0]] = False
    return Constraint(
        lexicon,
        EOS,
        locks,
        banned,
        _ends_with_phrase,
        constraints.characters_min,
        constraints.characters_max,
        final,
        final_tokens,
        mask if mask.any() else None,
        first_mask,
        forbids,
    )


def _ends_with_phrase(text: str, phrases: Sequence[str]) -> bool:
    """Return whether the last word of a text ends one of these phrases, or is past its end."""
    return any(has_phrase(text[-len(phrase) - 40 :], phrase) for phrase in phrases)
