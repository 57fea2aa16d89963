"""A sentence of a corpus, and the one spelling of its text."""

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
    """What the sentence is, where somebody said so; else empty."""
    group: str = ""
    """What it belongs to (a document, a verse): a group stays on one side of the split."""


def normalise(text: str) -> str:
    """The text in one spelling: NFC, every run of white space one space, no control characters.

    Case, punctuation and emoji stay as they are. Normalising twice changes nothing.
    """
    return " ".join(unicodedata.normalize("NFC", text.translate(CONTROLS)).split())
