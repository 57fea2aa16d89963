"""Sentences that nobody wants: forgotten ones, and by settings blocked words and personal data.

A filter sees one normalised sentence and gives the reason to drop it. Near-duplicates are a matter
of two sentences; `near_key` is what they share.
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
    """Why a sentence is dropped, by the settings and by what was forgotten."""

    def __init__(self, config: DataConfig, forgotten: Collection[str]) -> None:
        """`forgotten`: hashes of sentences. Raises what reading a blocklist raises."""
        self._forgotten = forgotten
        self._pii = config.pii
        self._blocked: dict[int, set[tuple[str, ...]]] = defaultdict(set)
        for path in config.blocklist:
            for phrase in _phrases(path):
                self._blocked[len(phrase)].add(phrase)

    def reason(self, text: str) -> str:
        """A few words, the same for every sentence dropped for this reason; empty to keep it."""
        if self._forgotten and sentence_hash(text) in self._forgotten:
            return "forgotten"
        if self._blocked and self._is_blocked(text):
            return "a word of the blocklist"
        return personal_data_kind(text) if self._pii else ""

    def _is_blocked(self, text: str) -> bool:
        """Whether a phrase of the blocklist stands in the text, word for word."""
        words = WORDS.findall(text.casefold())
        return any(
            tuple(words[start : start + length]) in phrases
            for length, phrases in self._blocked.items()
            for start in range(len(words) - length + 1)
        )


def personal_data_kind(text: str) -> str:
    """Which kind of personal data stands in the text, by its form; empty where none does.

    Card and account numbers count where their check digits are right.
    """
    if EMAIL.search(text):
        return "an e-mail address"
    if any(_is_iban(found[0]) for found in IBAN.finditer(text)):
        return "a bank account number"
    if any(_is_card(found[0]) for found in CARD.finditer(text)):
        return "a card number"
    return "a telephone number" if PHONE.search(text) else ""


class Letters(dict[int, str]):
    """A table for `str.translate`: letters and their marks stay, all else is a space."""

    def __missing__(self, code: int) -> str:
        """The character of a code that was not met yet."""
        character = chr(code)
        self[code] = character if unicodedata.category(character)[0] in "LM" else " "
        return self[code]


def near_key(text: str, letters: Letters) -> str:
    """The text in lower case, of letters and marks alone; the text itself where it has none."""
    return " ".join(text.casefold().translate(letters).split()) or text


def _phrases(path: Path) -> Iterator[tuple[str, ...]]:
    """The words and phrases of a blocklist, as words. Raises NotFoundError, DataError, InputError
    for a list without a word."""
    found = False
    for line in read_list(path):
        words = tuple(WORDS.findall(normalise(line).casefold()))
        if words:
            found = True
            yield words
    if not found:
        raise InputError("data.blocklist", f"{path}: holds no word; give a word or phrase a line")


def _is_card(found: str) -> bool:
    """Whether the digits pass Luhn's check."""
    digits = [int(character) for character in reversed(found) if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return sum(digits[::2] + doubled) % 10 == 0


def _is_iban(found: str) -> bool:
    """Whether the number leaves 1 when divided by 97, as ISO 13616 asks."""
    plain = found.replace(" ", "")
    number = int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4]))
    return 15 <= len(plain) <= 34 and number % 97 == 1
