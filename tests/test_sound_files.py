"""What is sound is not broken: files that hold nothing, and what is said of groups."""

import gzip
from pathlib import Path

import pytest

from tests.test_ingest import must, toy_lines, write_lines
from textvae.config.data import DataConfig
from textvae.corpus.data_report import report_lines
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import list_spans
from textvae.errors import DataError

EMPTY = {
    "a.txt": b"",
    "b.txt": b"\n \n\t\n",
    "c.txt": b"\xef\xbb\xbf",
    "d.csv": b"",
    "e.csv": b"text,label\n",
    "f.csv": b"\xef\xbb\xbftext,label\r\n\r\n",
    "g.jsonl": b"",
    "h.json": b"[]",
    "i.tsv": b"text\tlabel\n",
    "j.txt.gz": gzip.compress(b""),
    "k.jsonl": b'{"text": " "}\n',
    "l.txt": b"x" * 1001 + b"\n",
}


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    return tmp_path / "spans"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder with 400 good sentences in a file."""
    write_lines(tmp_path / "inbox" / "good.txt", toy_lines(400))
    return tmp_path / "inbox"


def test_empty_files_are_no_broken_files(spans: Path, inbox: Path) -> None:
    for name, content in EMPTY.items():
        (inbox / name).write_bytes(content)
    span = must(ingest(DataConfig(inputs=(inbox,), bad_files_max=0), spans))
    assert span.report["quarantined"] == {"rows": 0, "files": {}}
    assert span.report["empty_files"] == len(EMPTY)
    assert span.report["dropped"]["empty"]["count"] == 4
    assert span.report["dropped"]["over 1000 characters"] == {"count": 1, "first": "l.txt:1"}
    assert "empty                 12   files without a sentence, and without a fault" in (
        report_lines(span.report)
    )
    assert not (span.folder / "quarantine.jsonl").exists()


def test_a_parquet_file_without_rows_is_sound(spans: Path, inbox: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = pyarrow.table({"text": pyarrow.array([], pyarrow.string())})
    parquet.write_table(rows, inbox / "empty.parquet")
    span = must(ingest(DataConfig(inputs=(inbox,), bad_files_max=0), spans))
    assert span.report["empty_files"] == 1


def test_a_day_of_quiet_hours_is_ingested(spans: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    for hour in range(24):
        lines = toy_lines(600)[hour * 20 : hour * 20 + 20] if hour in (9, 17) else []
        write_lines(inbox / f"{hour:02d}.csv", ["text", *(f'"{line}"' for line in lines)])
    config = DataConfig(inputs=(inbox,), valid_share=0.2, test_share=0.2)
    assert must(ingest(config, spans)).report["empty_files"] == 22
    write_lines(inbox / "24.csv", ["text"])
    assert ingest(config, spans) is None
    assert len(list_spans(spans)) == 1
    assert not (spans / "aside").exists()


def test_a_first_ingest_of_empty_files_says_so(spans: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "b.csv").write_bytes(b"text\n")
    config = DataConfig(inputs=(tmp_path / "a.txt", tmp_path / "b.csv"))
    with pytest.raises(DataError) as error:
        ingest(config, spans)
    problem = "holds no sentence (the file is empty); at least one is needed"
    assert str(error.value).endswith(
        f"no file gives a sentence: a.txt: {problem}; b.csv: {problem}"
    )


def test_files_of_nothing_but_broken_rows_are_broken_all_the_same(spans: Path, inbox: Path) -> None:
    for number in range(3):
        (inbox / f"{number}.jsonl").write_text(f"no JSON {number}\n")
    with pytest.raises(DataError, match=r"3 broken files, data\.bad_files_max is 2"):
        ingest(DataConfig(inputs=(inbox,), bad_files_max=2), spans)


@pytest.mark.parametrize("groups", [1, 3])
def test_a_column_of_few_groups_is_named_where_a_side_is_empty(
    groups: int, spans: Path, tmp_path: Path
) -> None:
    rows = [
        f"{line.replace(',', '')},g{number % groups}" for number, line in enumerate(toy_lines(300))
    ]
    path = write_lines(tmp_path / "a.csv", ["text,user", *rows])
    with pytest.raises(DataError) as error:
        ingest(DataConfig(inputs=(path,), group_column="user"), spans)
    words = "one group" if groups == 1 else f"{groups} groups"
    assert f"the 300 sentences are of {words}, and a group stays on one side" in str(error.value)
    assert str(error.value).endswith("give a column of more groups as data.group_column, or none")


def test_labels_that_are_groups_are_not_what_leaves_a_side_empty(
    spans: Path, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "a.csv", ["text,label", *(f"{word},x" for word in "abcde")])
    with pytest.raises(DataError, match=r"give more text, a larger data\.(valid|test)_share, or"):
        ingest(DataConfig(inputs=(path,), label_is_group=True), spans)


def test_a_group_column_that_was_not_asked_for_is_named(spans: Path, tmp_path: Path) -> None:
    rows = [f"{line.replace(',', '')},g" for line in toy_lines(300)]
    path = write_lines(tmp_path / "a.csv", ["text,group", *rows])
    with pytest.raises(DataError, match="the 300 sentences are of one group, and a group stays on"):
        ingest(DataConfig(inputs=(path,)), spans)


@pytest.mark.parametrize(
    ("sentence", "words", "characters"),
    [
        ("\u6211\u8981\u9000\u8d27\u4e86{}", 1.0, 6.0),
        ("\u0e09\u0e31\u0e19\u0e23\u0e31\u0e01\u0e2b\u0e21\u0e32{}", 1.0, 10.0),
        ("\u4e88\u7d04\u3092\u5909\u66f4\u3057\u305f\u3044{}", 1.0, 9.0),
        ("two words {}", 3.0, 11.0),
    ],
)
def test_the_report_counts_characters_where_there_are_no_spaces(
    sentence: str, words: float, characters: float, spans: Path, tmp_path: Path
) -> None:
    texts = [sentence.format(chr(ord("a") + number)) for number in range(26)]
    path = write_lines(tmp_path / "a.txt", texts)
    span = must(ingest(DataConfig(train=(path,)), spans))
    assert span.report["words"]["mean"] == words
    assert span.report["characters"] == dict.fromkeys(("mean", "p50", "p95", "max"), characters)
    said = f"characters {characters:>13}   median {characters:g}, 95 % up to {characters:g}"
    assert any(line.startswith(said) for line in report_lines(span.report))
