"""CSV as people write it: what is broken costs its record, with its line, and no text is lost."""

from pathlib import Path
from typing import Any

import pytest

from textvae.config.data import DataConfig
from textvae.corpus.csv_rows import MORE_FIELDS, STRAY_QUOTE
from textvae.corpus.ingest import ingest
from textvae.corpus.readers import SkippedRow, read_file, read_numbered
from textvae.errors import DataError, InputError
from textvae.text.sentence import Sentence


def rows(folder: Path, content: str, name: str = "a.csv", **settings: Any) -> list[Any]:
    """The numbered rows of a file with this content."""
    path = folder / name
    path.write_text(content, encoding="utf-8", newline="")
    return list(read_numbered(path, DataConfig(**settings)))


def kept(found: list[Any]) -> list[str]:
    return [row.text for _, row in found if isinstance(row, Sentence)]


def broken(found: list[Any]) -> dict[int, str]:
    return {line: row.reason for line, row in found if isinstance(row, SkippedRow)}


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("text,label\nfine,a\nHello, my name is Bob,greeting\nwell,b\n", {3: MORE_FIELDS}),
        ("text\nfine\nHello, Bob\nwell\n", {3: MORE_FIELDS}),
        ("label,text\na,fine\nb,one, two\nc,well\n", {3: MORE_FIELDS}),
        (
            'text,label\nfine,a\n"two\nlines", and more,b\nwell,b\n',
            {3: STRAY_QUOTE, 4: MORE_FIELDS},
        ),
        ("text,label\r\nfine,a\r\na,b,c\r\nwell,b\r\n", {3: MORE_FIELDS}),
        ('text,label\n"fine",a\n"a","c","d"\nwell,b\n', {3: MORE_FIELDS}),
    ],
    ids=range(6),
)  # fmt: skip
def test_a_row_of_more_fields_than_the_header_is_set_aside_with_its_line(
    content: str, lines: dict[int, str], tmp_path: Path
) -> None:
    found = rows(tmp_path, content)
    assert kept(found) == ["fine", "well"]
    assert broken(found) == lines


def test_empty_fields_at_the_end_are_what_spreadsheets_add(tmp_path: Path) -> None:
    found = rows(tmp_path, "text,label\nfine,a,,\nshort\nwell,b, ,\n,,,\n")
    assert kept(found) == ["fine", "short", "well"]
    assert broken(found) == {5: "empty"}


@pytest.mark.parametrize(
    ("stray", "lines"),
    [
        ('"open,a', [3]),
        ('"hello" world,a', [3]),
        ('he said "hi,a', []),
        ('5" pipe,a', []),
        ('"a "quoted" word",a', [3]),
        ('"""",a', []),
        ('"open,a\n"also open,b', [3, 4]),
    ],
)
@pytest.mark.parametrize("quoted", [True, False])
def test_a_stray_quote_costs_its_own_line(
    stray: str, lines: list[int], quoted: bool, tmp_path: Path
) -> None:
    """And not the file, nor the text of the lines after it."""
    good = [f'"row {number}","x, y"' if quoted else f"row {number},x" for number in range(30)]
    found = rows(tmp_path, "\n".join(["text,label", good[0], stray, *good[1:]]) + "\n")
    assert {f"row {number}" for number in range(30)} <= set(kept(found))
    assert broken(found) == dict.fromkeys(lines, STRAY_QUOTE)


def test_a_record_of_several_lines_is_one_sentence(tmp_path: Path) -> None:
    found = rows(tmp_path, 'text,label\n"one\n\ntwo ""three""\nfour",x\nfive,y\n')
    assert found == [(2, Sentence('one two "three" four', "x")), (6, Sentence("five", "y"))]


def test_a_quote_at_the_end_of_a_long_file_is_found_in_time(tmp_path: Path) -> None:
    lines = [f'"row {number}' if number % 100 == 0 else f"row {number}" for number in range(40_000)]
    found = rows(tmp_path, "\n".join(["text", *lines]))
    assert len(kept(found)) == 39_600
    assert len(broken(found)) == 400


@pytest.mark.parametrize("size", [140_000, 3_000_000])
def test_a_field_may_be_as_long_as_it_likes(size: int, tmp_path: Path) -> None:
    content = f"text,raw\nfine,{'x' * size}\nwell,y\n{'z' * size},y\n"
    found = rows(tmp_path, content)
    assert kept(found) == ["fine", "well"]
    assert broken(found) == {4: "over 1000 characters"}


@pytest.mark.parametrize(
    ("header", "settings", "name"),
    [
        ("text,text", {}, "text"),
        ("text,label,label", {}, "label"),
        ("group,text,group", {}, "group"),
        ("a,b,a", {"text_column": "b", "label_column": "a"}, "a"),
        ("text, text", {}, "text"),
    ],
)
def test_a_header_that_names_a_read_column_twice_is_refused_with_its_line(
    header: str, settings: dict[str, str], name: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"a.csv: line 1 names the column '{name}' twice"):
        rows(tmp_path, f"{header}\na,b,c\n", **settings)


def test_columns_that_are_not_read_may_have_any_names(tmp_path: Path) -> None:
    assert kept(rows(tmp_path, "note,text,note,,\n1,fine,2,3,4\n")) == ["fine"]
    assert rows(tmp_path, "text , label\nfine,a\n") == [(2, Sentence("fine", "a"))]


@pytest.mark.parametrize(
    ("name", "delimiter", "content"),
    [
        ("a.csv", ";", "text;label\nhello, there;a\n"),
        ("a.csv", "tab", "text\tlabel\nhello, there\ta\n"),
        ("a.csv", "\\t", "text\tlabel\nhello, there\ta\n"),
        ("a.csv", "|", "text|label\nhello, there|a\n"),
        ("a.tsv", "", "text\tlabel\nhello, there\ta\n"),
        ("a.tsv", ",", 'text,label\n"hello, there",a\n'),
        ("a.CSV", "", 'text,label\n"hello, there",a\n'),
        ("a.csv", "\u00a6", "text\u00a6label\nhello, there\u00a6a\n"),
    ],
    ids=range(8),
)
def test_the_delimiter_is_a_setting(
    name: str, delimiter: str, content: str, tmp_path: Path
) -> None:
    found = rows(tmp_path, content, name, delimiter=delimiter)
    assert found == [(2, Sentence("hello, there", "a"))]


@pytest.mark.parametrize("delimiter", ['"', "\n", ";;", "\0"])
def test_what_can_be_no_delimiter_is_refused(delimiter: str) -> None:
    with pytest.raises(InputError, match=r"data\.delimiter: must be one character, or tab, got"):
        DataConfig(delimiter=delimiter)


@pytest.mark.parametrize(
    ("name", "content", "delimiter", "advice"),
    [
        ("a.csv", "text;label\nhello there;a\n", "", 'holds ";"; set data.delimiter to that'),
        ("a.csv", "text\tlabel\nhello\ta\n", "", "holds a tab; set data.delimiter to that"),
        ("a.tsv", "text,label\nhello,a\n", "", 'holds ","; set data.delimiter to that'),
        ("a.csv", "text,label\nhello,a\n", ";", 'holds ","; set data.delimiter to that'),
    ],
)
def test_the_advice_about_another_delimiter_leads_to_the_text(
    name: str, content: str, delimiter: str, advice: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as error:
        rows(tmp_path, content, name, delimiter=delimiter)
    assert str(error.value) == (
        f"{tmp_path / name}: has no column 'text'; its first line is one column and {advice}"
    )


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ("utterance,intent", "set data.text_column to one of intent, utterance; "
         "data.label_column may be intent"),
        ("customer_message,Category", "set data.text_column to one of Category, customer_message; "
         "data.label_column may be Category"),
        ("utterance,Kundennummer", "set data.text_column to one of utterance, or to another of its "
         "2 columns"),
        ("body,stars,user_id", "set data.text_column to one of body, stars, user_id"),
    ],
)  # fmt: skip
def test_likely_columns_are_named(header: str, advice: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        rows(tmp_path, f"{header}\na,b,c\n")
    assert str(error.value).endswith(f"has no column 'text'; {advice}")


def test_a_likely_label_column_is_named_and_not_guessed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert rows(tmp_path, "text,intent\nhello,greet\n") == [(2, Sentence("hello"))]
    assert caplog.messages == [
        "a.csv: no labels are read; set data.label_column to intent if that is one"
    ]
    caplog.clear()
    assert rows(tmp_path, "text,intent,label\nhello,x,greet\n") == [(2, Sentence("hello", "greet"))]
    assert rows(tmp_path, "text,intent\nhello,greet\n", label_column="intent") == [
        (2, Sentence("hello", "greet"))
    ]
    assert caplog.messages == []


def test_an_ingest_names_file_and_line_of_what_it_sets_aside(tmp_path: Path) -> None:
    good = "".join(f"row {number},x\n" for number in range(40))
    (tmp_path / "a.csv").write_text(f'text,label\n{good}Hello, I am Bob,x\n"open,x\nlast,x\n')
    span = ingest(DataConfig(train=(tmp_path / "a.csv",)), tmp_path / "spans")
    assert span
    lines = (span.folder / "quarantine.jsonl").read_text().splitlines()
    assert lines == [
        f'{{"file": "a.csv", "line": 42, "reason": "{MORE_FIELDS}", "text": "Hello, I am Bob,x"}}',
        f'{{"file": "a.csv", "line": 43, "reason": "{STRAY_QUOTE}", "text": "\\"open,x"}}',
    ]
    assert span.report["dropped"][MORE_FIELDS] == {"count": 1, "first": "a.csv:42"}
    assert sum(span.report["kept"].values()) == 41
    assert list(read_file(tmp_path / "a.csv", DataConfig()))[-1] == Sentence("last", "x")
