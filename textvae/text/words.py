"""Where words begin and end, also in scripts that write no spaces."""

import functools
import unicodedata

FINAL_PUNCTUATION = ".!?\u2026\u3002\uff01\uff1f\u0964\u061f"
"""What ends a sentence, in Latin, Chinese, Japanese, Hindi and Arabic script."""
UNSPACED = (
    *("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "HALFWIDTH KATAKANA ", "BOPOMOFO "),
    *("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "YI ", "TAI ", "NEW TAI ", "JAVANESE "),
    *("BALINESE ", "TANGUT ", "NUSHU "),
)  # fmt: skip
"""The beginnings of the Unicode names of letters whose scripts put no space between words."""


@functools.cache
def joins_words(character: str) -> bool:
    """Return whether no word ends between this character and another one like it.

    Letters, marks, digits and the underscore, but for those of scripts that write no spaces
    between words.
    """
    if unicodedata.category(character)[0] not in "LMN" and character != "_":
        return False
    return not unicodedata.name(character, "").startswith(UNSPACED)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Return whether text[start:end] begins and ends where words do."""
    for place in (start, end):
        if 0 < place < len(text) and joins_words(text[place - 1]) and joins_words(text[place]):
            return False
    return True


def final_punctuation(text: str) -> str:
    """Return the punctuation that ends the sentence; empty where there is none."""
    return text[len(text.rstrip(FINAL_PUNCTUATION)) :]
