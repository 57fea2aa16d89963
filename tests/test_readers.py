"""Files to sentences: normalising, the four readers, what is dropped and refused, the split."""

import csv
import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textvae.config.data import DataConfig
from textvae.corpus.readers import SkippedRow, read_file
from textvae.corpus.split import side_of
from textvae.errors import DataError, InputError, NotFoundError
from textvae.text.sentence import Sentence, normalise

ROWS = [
    {"text": "The cat sat.", "label": "past", "group": "one"},
    {"text": 'A "quoted", long\nline', "label": "none", "group": "two"},
]
SENTENCES = [
    Sentence("The cat sat.", "past", "one"),
    Sentence('A "quoted", long line', "none", "two"),
]


def read(path: Path, **settings: object) -> list[Sentence | SkippedRow]:
    """All that a file gives under these data settings."""
    return list(read_file(path, DataConfig(**settings)))  # type: ignore[arg-type]


def write(path: Path, content: str | bytes) -> Path:
    """The path, now holding the content."""
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    """The path, now a CSV file of the rows."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[object]) -> Path:
    """The path, now a JSON value a line."""
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    """One spelling means one: what is normalised stays as it is."""
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)


def test_normalising_keeps_case_punctuation_and_emoji_whole() -> None:
    """What a reader sees is text; a family emoji is one only with its joiners."""
    for text in ("Oh NO!? (wait…)", "👩‍👩‍👧 and ❤️", "naïve Ærø", "a '-' b", "مى‌خواهم"):
        assert normalise(text) == text


def test_normalising_leaves_one_space_and_no_controls() -> None:
    """Tabs, line ends and exotic spaces are spaces; a bell and a byte-order mark are nothing."""
    assert normalise("\ufeff a\t b\r\nc\u00a0\u2028 d\x07\x00e \n") == "a b c de"
    assert normalise("e\u0301") == "\u00e9"


def test_every_format_gives_the_same_sentences(tmp_path: Path) -> None:
    """The road of a sentence does not depend on the file it came in."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    for path in (
        write_csv(tmp_path / "rows.csv", ROWS),
        write_jsonl(tmp_path / "rows.jsonl", list(ROWS)),
        tmp_path / "rows.parquet",
    ):
        assert read(path) == SENTENCES, path
    plain = write(tmp_path / "rows.txt", 'The cat sat.\r\nA "quoted", long\tline')
    assert read(plain) == [Sentence(sentence.text) for sentence in SENTENCES]


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    """The settings say where text, label and group stand; numbers are spelt out as labels."""
    path = write_jsonl(tmp_path / "rows.jsonl", [{"body": "so it is", "stars": 5, "user": 17}])
    found = read(path, text_column="body", label_column="stars", group_column="user")
    assert found == [Sentence("so it is", "5", "17")]


def test_a_bad_line_is_dropped_with_its_reason_and_its_number(tmp_path: Path) -> None:
    """One bad row costs one row, and the report can say where it stood."""
    path = write(
        tmp_path / "rows.jsonl",
        '{"text": "good"}\n{"text": 3}\n{"label": "x"}\nnot json\n[1]\n\n{"text": " "}\n'
        '{"text": "\\ud800"}\n{"text": "one two three"}\n{"text": "abcdefghijklmnop"}\n',
    )
    found = read(path, characters_max=15, words_max=2)
    assert found[0] == Sentence("good")
    assert found[1:] == [
        SkippedRow("text that is not a string", 2, '{"text": 3}'),
        SkippedRow("no text", 3, '{"label": "x"}'),
        SkippedRow("not a JSON object", 4, "not json"),
        SkippedRow("not a JSON object", 5, "[1]"),
        SkippedRow("empty", 6),
        SkippedRow("empty", 7),
        SkippedRow("lone surrogates", 8, '{"text": "\ud800"}'),
        SkippedRow("over 2 words", 9),
        SkippedRow("over 15 characters", 10),
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", b"", "holds no sentence (the file is empty)"),
        ("a.txt", b"\n \n\n", "holds no sentence (3 empty)"),
        ("a.txt", b"fine\nno\0text\n", "line 2 holds a NUL byte"),
        ("a.txt", b"caf\xe9\n", "byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("a.txt", "text".encode("utf-16"), "byte 0xff is not UTF-8"),
        ("a.jsonl", b"plain\ntext\n", "holds no sentence (2 not a JSON object)"),
        (
            "a.jsonl",
            b'{"body": "x"}\n',
            "has no column 'text'; set data.text_column to one of body",
        ),
        ("a.csv", b"body,label\nx,y\n", "set data.text_column to one of body, label"),
        ("a.csv", b'text\n"open\n', "holds no sentence (1 a quote that nothing closes"),
        ("a.csv", b"text,label\n", "holds no sentence (the file is empty)"),
        ("a.csv", b"", "holds no sentence (the file is empty)"),
        ("a.parquet", b"PAR1 no", "not a whole Parquet file"),
    ],
)
def test_a_file_that_is_no_corpus_is_refused(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    """The message begins with the path and says what is wrong with it."""
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = write(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", ["rows.txt", "rows.csv", "rows.jsonl", "rows.parquet"])
def test_a_label_column_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    """A label that was asked for by name is never silently empty."""
    path = tmp_path / name
    rows = [{"text": "The cat sat.", "kind": "x"}]
    if name.endswith("parquet"):
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif name.endswith("csv"):
        write_csv(path, rows)
    else:
        write_jsonl(path, list(rows))
    with pytest.raises(DataError, match=r"has no column 'mood'; set data\.label_column to one of"):
        read(path, label_column="mood")


def test_a_missing_file_and_an_unknown_suffix_are_distinguished(tmp_path: Path) -> None:
    """A missing file is one mistake, a format without a reader another."""
    with pytest.raises(NotFoundError, match=r"gone\.txt: no such file"):
        read(tmp_path / "gone.txt")
    with pytest.raises(
        InputError,
        match=r"end in \.txt, \.jsonl, \.csv, \.parquet, \.tsv, \.json, .* or not, got \.pdf",
    ):
        read(write(tmp_path / "a.pdf", "text"))


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A failing disk or driver is reported, not taken for an empty corpus."""
    path = tmp_path / "broken.txt"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=r"broken\.txt: cannot be read: Input/output error"):
        read(path)


def test_the_split_is_decided_by_the_key_alone_and_for_ever() -> None:
    """These keys were on these sides when the first corpus was split; they must stay there."""
    sides = {
        "The cat sat.": "train",
        "1001001": "train",
        "emoji 👍": "valid",
        "7": "valid",
        "2": "test",
    }
    assert {key: side_of(key, 0.25, 0.25) for key in sides} == sides


def test_the_split_gives_each_side_its_share() -> None:
    """A hash spreads evenly: 20,000 keys, 10 % and 5 %, within four standard deviations."""
    count = Counter(side_of(f"key {number}", 0.1, 0.05) for number in range(20_000))
    assert abs(count["valid"] - 2000) < 4 * 2000**0.5
    assert abs(count["test"] - 1000) < 4 * 1000**0.5


def test_a_larger_share_moves_nothing_between_the_held_out_sides() -> None:
    """Growing one side takes from train alone, so no held-out sentence changes its part."""
    for number in range(2000):
        small, large = side_of(str(number), 0.02, 0.02), side_of(str(number), 0.3, 0.02)
        assert small in ("train", large)
        assert large in (small, "valid")
