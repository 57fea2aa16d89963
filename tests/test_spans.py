"""Spans: whole or not there, and verified before a line of them is parsed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from textvae.corpus.spans import Span, list_spans, load_spans, write_span
from textvae.corpus.split import SIDES, Side
from textvae.errors import CorruptError, NotFoundError
from textvae.text.sentence import Sentence

KEPT: dict[Side, list[Sentence]] = {
    "train": [Sentence("The cat sat.", "past", "one"), Sentence("A naïve 👍 \\n \u2028 cat")],
    "valid": [Sentence("The dog sat.", label="past")],
    "test": [],
}
REPORT = {"read": 3}


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    """Where spans go; it does not exist yet."""
    return tmp_path / "spans"


@pytest.fixture
def span(spans: Path) -> Span:
    """The first span."""
    return write_span(spans, KEPT, REPORT, {"inputs": []})


def test_what_was_written_is_loaded(spans: Path, span: Span) -> None:
    """Every field of every sentence, in order, whatever characters are in it."""
    corpus = load_spans(spans)
    assert {side: list(getattr(corpus, side)) for side in SIDES} == KEPT
    assert corpus.names == (span.name,)
    assert span.name == f"000001-{corpus.hashes[0][:12]}"
    assert json.loads((span.folder / "report.json").read_bytes()) == REPORT


def test_spans_follow_each_other_and_are_loaded_in_their_order(spans: Path, span: Span) -> None:
    """Or only those that are asked for."""
    later = write_span(spans, {**KEPT, "train": [Sentence("New.")]}, REPORT, {"inputs": []})
    assert later.name.startswith("000002-")
    assert load_spans(spans).names == (span.name, later.name)
    assert [row.text for row in load_spans(spans, [later.name]).train] == ["New."]


def test_loading_without_any_span_says_how_to_make_one(spans: Path) -> None:
    """The message is the command."""
    with pytest.raises(NotFoundError, match=r"no text has been ingested; python -m jobs\.ingest"):
        load_spans(spans)


def test_a_span_that_is_not_there_is_named(spans: Path, span: Span) -> None:
    """With the ones that are."""
    with pytest.raises(NotFoundError, match=f"no span 000009-aaaaaaaaaaaa; there are: {span.name}"):
        load_spans(spans, ["000009-aaaaaaaaaaaa"])


def test_what_a_killed_ingest_left_is_no_span(spans: Path, span: Span) -> None:
    """Only a folder that was finished has a span's name."""
    (spans / f".{span.name}.unfinished").mkdir()
    (spans / "000002-short").mkdir()
    assert list_spans(spans) == [span.name]


def _cut(folder: Path) -> None:
    path = folder / "train.jsonl"
    path.write_bytes(path.read_bytes()[:-5])


def _swap(folder: Path) -> None:
    path = folder / "train.jsonl"
    path.write_bytes(path.read_bytes().replace(b"The", b"Ten", 1))


def _forge(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"inputs", b"others", 1))


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (_cut, "train.jsonl: has "),
        (_swap, "train.jsonl: has SHA-256 "),
        (_forge, "manifest.json: is not the manifest that 000001-"),
        (lambda folder: (folder / "valid.jsonl").unlink(), "valid.jsonl: is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: is missing"),
        (lambda folder: (folder / "x.jsonl").touch(), "x.jsonl: is not in the manifest"),
    ],
)
def test_a_span_that_was_changed_is_refused_and_the_file_named(
    spans: Path, span: Span, harm: Callable[[Path], object], problem: str
) -> None:
    """With the ways out."""
    harm(span.folder)
    with pytest.raises(CorruptError) as caught:
        load_spans(spans)
    assert problem in str(caught.value)
    assert f"or remove {span.name} and ingest its files again" in str(caught.value)
