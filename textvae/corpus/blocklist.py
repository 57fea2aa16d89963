"""Blocked words and phrases, found in any case and in every script.

An entry that is written with spaces between words is found word for word, whatever punctuation is
between its words. In a script without spaces, as Chinese, Japanese and Thai, and in Korean, whose
particles are attached, an entry is found anywhere, at whole characters with their marks. Symbols
and emoji count: "c++" is found in "c++17" and not in "c is". So does punctuation that an entry
begins with or consists of, as in ".net", but not what ends a sentence or quotes it.
"""

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from textvae.corpus.lists import read_list
from textvae.errors import InputError
from textvae.text.sentence import normalise
from textvae.text.words import UNSPACED

# The beginnings of the Unicode names of letters between which an entry may begin and end.
INSEPARABLE = (*UNSPACED, "HANGUL ", "HALFWIDTH HANGUL ")
# Punctuation by Unicode that people use as a symbol.
SYMBOLS = frozenset("#%&*@/\\")
# What may stand around a phrase without being a part of it, and what may end it.
QUOTES = " \"'()[]{}<>\u00ab\u00bb\u2018\u2019\u201c\u201d\u300c\u300d"
ENDS = QUOTES + ".,;:!?\u2026\u3001\u3002\uff01\uff0c\uff1f"
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f]"
)

WORD, CHARACTER, SYMBOL, PUNCTUATION, SPACE, MARK = range(6)


class Token(NamedTuple):
    """A word of a script with spaces, or a single other character with its marks."""

    text: str
    kind: int


class Blocklist:
    """The words and phrases of some files."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        """Read the files: NotFoundError, DataError; InputError for one without an entry."""
        # By the number of tokens: phrases of words, and those that have punctuation of their own.
        self._phrases: dict[int, set[tuple[str, ...]]] = defaultdict(set)
        self._punctuated: dict[int, set[tuple[str, ...]]] = defaultdict(set)
        for path in paths:
            for tokens in _entries(path):
                edges = {tokens[0].kind, tokens[-1].kind}
                phrases = self._punctuated if PUNCTUATION in edges else self._phrases
                phrase = _texts(tokens if PUNCTUATION in edges else _without_separators(tokens))
                phrases[len(phrase)].add(phrase)

    def blocks(self, text: str) -> bool:
        """Return whether a normalised text holds an entry."""
        if not self._phrases and not self._punctuated:
            return False
        tokens = _tokens(text)
        return _holds(self._phrases, _texts(_without_separators(tokens))) or (
            bool(self._punctuated) and _holds(self._punctuated, _texts(tokens))
        )


def _holds(phrases: dict[int, set[tuple[str, ...]]], texts: tuple[str, ...]) -> bool:
    """Return whether any phrase stands in a row of tokens."""
    return any(
        texts[start : start + length] in some
        for length, some in phrases.items()
        for start in range(len(texts) - length + 1)
    )


def _entries(path: Path) -> Iterator[list[Token]]:
    """Yield the tokens of each entry of a file."""
    is_empty = True
    for line in read_list(path):
        entry = normalise(line)
        tokens = _tokens(entry.lstrip(QUOTES).rstrip(ENDS)) or _tokens(entry)
        if tokens:
            is_empty = False
            yield tokens
    if is_empty:
        raise InputError("data.blocklist", f"{path}: holds no word; give a word or phrase a line")


def _tokens(text: str) -> list[Token]:
    """Return all of a text without its case: its words, and each other character."""
    folded = unicodedata.normalize("NFC", INVISIBLE.sub("", text).casefold())
    tokens: list[Token] = []
    for character in folded:
        kind = _kind(character)
        last = tokens[-1] if tokens else Token("", SPACE)
        if kind == MARK and last.kind in (WORD, CHARACTER, SYMBOL):
            tokens[-1] = Token(last.text + character, last.kind)
        elif kind == last.kind == WORD:
            tokens[-1] = Token(last.text + character, WORD)
        else:
            tokens.append(Token(character, SYMBOL if kind == MARK else kind))
    return tokens


def _without_separators(tokens: list[Token]) -> list[Token]:
    """Return the tokens without the spaces and punctuation between two words."""
    kept: list[Token] = []
    separators: list[Token] = []
    for token in tokens:
        if token.kind in (SPACE, PUNCTUATION):
            separators.append(token)
            continue
        if not (kept and kept[-1].kind == token.kind == WORD):
            kept += separators
        separators = []
        kept.append(token)
    return kept + separators


def _texts(tokens: list[Token]) -> tuple[str, ...]:
    """Return the texts of tokens."""
    return tuple(token.text for token in tokens)


@functools.cache
def _kind(character: str) -> int:
    """Return what a character is."""
    category = unicodedata.category(character)
    if character in SYMBOLS or category[0] in "SC":
        return SYMBOL
    if category[0] == "M":
        return MARK
    if category == "Pc" or category[0] in "LN":
        is_unspaced = unicodedata.name(character, "").startswith(INSEPARABLE)
        return CHARACTER if is_unspaced else WORD
    return SPACE if category[0] == "Z" else PUNCTUATION
