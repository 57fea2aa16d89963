"""Filters: forgotten sentences and, by settings, blocked words and personal data.

A filter gets one normalised sentence and returns the reason to drop it. Near-duplicates are pairs
of sentences with the same `near_key`.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from textvae.config.data import DataConfig
from textvae.corpus.readers import read_list
from textvae.corpus.tombstones import sentence_hash
from textvae.errors import InputError
from textvae.text.sentence import normalise

WORDS = re.compile(r"\w+")

EMAIL = re.compile(r"[^\s@<>()\[\],;:\"]+@[^\s@]+\.[^\W\d_]{2,}")
# International with a plus, national with a leading zero, or 3-3-4 as in North America.
PHONE = re.compile(
    r"(?<![\w.])(?:\+\d(?:[ ()./-]{0,2}\d){6,14}|\(?0\d(?:[ ()./-]{0,2}\d){5,12}"
    r"|\(?\d{3}\)?[ .-]?\d{3}[.-]\d{4})(?!\w)"
)
CARD = re.compile(r"(?<!\w)\d(?:[ -]?\d){12,18}(?!\w)")
IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")


class Filter:
    """The filter by the settings and by the forgotten sentences."""

    def __init__(self, config: DataConfig, forgotten: Collection[str]) -> None:
        """Read the blocklists, as `read_list` does; `forgotten`: hashes of sentences."""
        self._forgotten = forgotten
        self._pii = config.pii
        self._blocked: dict[int, set[tuple[str, ...]]] = defaultdict(set)
        for path in config.blocklist:
            for phrase in _phrases(path):
                self._blocked[len(phrase)].add(phrase)

    def reason(self, text: str) -> str:
        """Return why to drop the sentence, as words that many sentences share; empty to keep it."""
        if self._forgotten and sentence_hash(text) in self._forgotten:
            return "forgotten"
        if self._blocked and self._is_blocked(text):
            return "a word of the blocklist"
        return personal_data_kind(text) if self._pii else ""

    def _is_blocked(self, text: str) -> bool:
        """Return whether the text contains a phrase of the blocklist, word for word."""
        words = WORDS.findall(text.casefold())
        return any(
            tuple(words[start : start + length]) in phrases
            for length, phrases in self._blocked.items()
            for start in range(len(words) - length + 1)
        )


def personal_data_kind(text: str) -> str:
    """Return which kind of personal data the text contains, by its form; empty for none.

    Card and account numbers count where their check digits are right.
    """
    if EMAIL.search(text):
        return "an e-mail address"
    if any(_is_iban(match[0]) for match in IBAN.finditer(text)):
        return "a bank account number"
    if any(_is_card(match[0]) for match in CARD.finditer(text)):
        return "a card number"
    return "a telephone number" if PHONE.search(text) else ""


class Letters(dict[int, str]):
    """A table for `str.translate`: keeps letters and their marks, makes all else a space."""

    def __missing__(self, code: int) -> str:
        """Add and return the character of a new code."""
        character = chr(code)
        self[code] = character if unicodedata.category(character)[0] in "LM" else " "
        return self[code]


def near_key(text: str, letters: Letters) -> str:
    """Return the lower-case text, letters and marks alone; the text itself where it has none."""
    return " ".join(text.casefold().translate(letters).split()) or text


def _phrases(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield the words and phrases of a blocklist, as words.

    Raises NotFoundError, DataError, and InputError for a list without a word.
    """
    is_empty = True
    for line in read_list(path):
        words = tuple(WORDS.findall(normalise(line).casefold()))
        if words:
            is_empty = False
            yield words
    if is_empty:
        raise InputError("data.blocklist", f"{path}: holds no word; give a word or phrase a line")


def _is_card(number: str) -> bool:
    """Return whether the digits pass Luhn's check."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return sum(digits[::2] + doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    """Return whether the number modulo 97 is 1, as ISO 13616 demands."""
    code = text.replace(" ", "")
    number = int("".join(str(int(character, 36)) for character in code[4:] + code[:4]))
    return 15 <= len(code) <= 34 and number % 97 == 1
