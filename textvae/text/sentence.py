"""A sentence of a corpus, and the normal form of its text."""

import unicodedata
from typing import NamedTuple

BYTE_ORDER_MARK = 0xFEFF
# Joiners and variation selectors, which emoji and many scripts need, are no control characters.
CONTROLS = dict.fromkeys(
    [code for code in (*range(0x20), *range(0x7F, 0xA0)) if not chr(code).isspace()]
    + [BYTE_ORDER_MARK]
)


class Sentence(NamedTuple):
    """One sentence of a corpus."""

    text: str
    """Normalised; never empty."""
    label: str = ""
    """A class of the sentence, where the source gives one; else empty."""
    group: str = ""
    """The document, verse or the like that it is from; such a group stays on one side of the split.
    Where labels are groups (`data.label_is_group`), the label once more, on all sides."""


def normalise(text: str) -> str:
    """Return the text in NFC, each run of white space as one space, without control characters.

    Case, punctuation and emoji stay as they are. Normalising twice changes nothing.
    """
    return " ".join(unicodedata.normalize("NFC", text.translate(CONTROLS)).split())


def letters(text: str) -> str:
    """Return the letters of a text in order, with their marks and without their case.

    Sentences of the same letters are the same but for case, punctuation, digits and spaces.
    """
    return "".join(char for char in text.casefold() if unicodedata.category(char)[0] in "LM")
