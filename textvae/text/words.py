"""Where words begin and end, also in scripts that write no spaces."""

import functools
import unicodedata

FINAL_PUNCTUATION = ".!?\u2026\u3002\uff01\uff1f\u0964\u061f"
"""What ends a sentence, in Latin, Chinese, Japanese, Hindi and Arabic script."""
_WITHOUT_SPACES = (
    "CJK ",
    "HIRAGANA ",
    "KATAKANA ",
    "THAI ",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
    "TIBETAN ",
)


@functools.cache
def joins_words(character: str) -> bool:
    """Return whether no word ends between this character and another one like it.

    Letters, marks, digits and the underscore, but for those of scripts that write no spaces
    between words.
    """
    if unicodedata.category(character)[0] not in "LMN" and character != "_":
        return False
    return not unicodedata.name(character, "").startswith(_WITHOUT_SPACES)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Return whether text[start:end] begins and ends where words do."""
    for place in (start, end):
        if 0 < place < len(text) and joins_words(text[place - 1]) and joins_words(text[place]):
            return False
    return True


def final_punctuation(text: str) -> str:
    """Return the punctuation that ends the sentence; empty where there is none."""
    return text[len(text.rstrip(FINAL_PUNCTUATION)) :]
