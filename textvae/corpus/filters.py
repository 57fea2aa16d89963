"""Filters: forgotten sentences and, by settings, blocked words and personal data.

A filter gets one normalised sentence and returns the reason to drop it. Near-duplicates are pairs
of sentences with the same `near_key`.
"""

import re
import unicodedata
from collections.abc import Collection

from textvae.config.data import DataConfig
from textvae.corpus.blocklist import Blocklist
from textvae.corpus.tombstones import sentence_hash

EMAIL = re.compile(r"[^\s@<>()\[\],;:\"]+@[^\s@]+\.[^\W\d_]{2,}")
# Letters of scripts without spaces stand right before and after a number, so that only those of
# ASCII are a part of it.
# International with a plus, national with a leading zero, or 3-3-4 as in North America.
PHONE = re.compile(
    r"(?<![0-9A-Za-z_.])(?:\+\d(?:[ ()./-]{0,2}\d){6,14}|\(?0\d(?:[ ()./-]{0,2}\d){5,12}"
    r"|\(?\d{3}\)?[ .-]?\d{3}[.-]\d{4})(?![0-9A-Za-z_])"
)
CARD = re.compile(r"(?<![0-9A-Za-z_])\d(?:[ -]?\d){12,18}(?![0-9A-Za-z_])")
IBAN = re.compile(
    r"(?<![0-9A-Za-z_])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![0-9A-Za-z_])"
)


class Filter:
    """The filter by the settings and by the forgotten sentences."""

    def __init__(self, config: DataConfig, forgotten: Collection[str]) -> None:
        """Read the blocklists; `forgotten`: hashes of sentences."""
        self._forgotten = forgotten
        self._pii = config.pii
        self._blocklist = Blocklist(config.blocklist)

    def reason(self, text: str) -> str:
        """Return why to drop the sentence, as words that many sentences share; empty to keep it."""
        if self._forgotten and sentence_hash(text) in self._forgotten:
            return "forgotten"
        if self._blocklist.blocks(text):
            return "a word of the blocklist"
        return personal_data_kind(text) if self._pii else ""


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
