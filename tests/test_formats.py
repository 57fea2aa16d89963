"""The formats that people have: lists of JSON, packed files, Parquet with any value."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from textvae.config.data import DataConfig
from textvae.corpus import text_files
from textvae.corpus.ingest import ingest
from textvae.corpus.readers import SkippedRow, read_file, read_numbered
from textvae.errors import DataError, NotFoundError
from textvae.text.sentence import Sentence

SENTENCES = [Sentence("hello, there", "greet", "a"), Sentence("it is\tover", "bye", "b")]
ROWS = [{"text": "hello, there", "label": "greet", "group": "a"},
        {"text": "it is\tover", "label": "bye", "group": "b"}]  # fmt: skip
CONTENTS = {
    "a.json": json.dumps(ROWS),
    "a.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "a.csv": 'text,label,group\n"hello, there",greet,a\nit is\tover,bye,b\n',
    "a.tsv": 'text\tlabel\tgroup\nhello, there\tgreet\ta\n"it is\tover"\tbye\tb\n',
}
EXPECTED = [sentence._replace(text=sentence.text.replace("\t", " ")) for sentence in SENTENCES]


def read(path: Path, **settings: Any) -> list[Sentence | SkippedRow]:
    return list(read_file(path, DataConfig(**settings)))


def packed(path: Path, data: bytes) -> Path:
    """The path, now holding the data, packed as its name says."""
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        pyarrow = pytest.importorskip("pyarrow")
        sink = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        data = sink.getvalue().to_pybytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", CONTENTS)
def test_every_format_is_read_packed_or_not(name: str, packing: str, tmp_path: Path) -> None:
    path = packed(tmp_path / f"{name}{packing}", CONTENTS[name].encode())
    assert read(path) == EXPECTED


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_text_and_parquet_are_read_packed_or_not(packing: str, tmp_path: Path) -> None:
    path = packed(tmp_path / f"a.txt{packing}", b"\xef\xbb\xbfhello\r\nyou\n")
    assert read(path) == [Sentence("hello"), Sentence("you")]
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows")
    path = packed(tmp_path / f"a.parquet{packing}", (tmp_path / "rows").read_bytes())
    assert read(path) == EXPECTED


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('["a", "b"]', [Sentence("a"), Sentence("b")]),
        ('["a", {"text": "b", "label": "x"}]', [Sentence("a"), Sentence("b", "x")]),
        ('{"text": "a"}\n{"text": "b"}\n', [Sentence("a"), Sentence("b")]),
        ('\ufeff[\n  {"text": "a"}\n]\n', [Sentence("a")]),
        ('["a", 3]', [Sentence("a"), SkippedRow("not a JSON object", 2, "3")]),
        ('["a", null, ""]', [Sentence("a"), SkippedRow("not a JSON object", 2, "null"),
                             SkippedRow("empty", 3)]),
        ('[{"text": "a"}, {"text": "b", "text": "c"}]',
         [Sentence("a"), SkippedRow("a key that is there twice", 2, '{"text": "c"}')]),
    ],
    ids=range(7),
)  # fmt: skip
def test_a_list_of_json_holds_objects_or_strings(
    content: str, expected: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(content)
    assert read(tmp_path / "a.json") == expected


def test_a_key_that_is_there_twice_loses_no_text_without_a_word(tmp_path: Path) -> None:
    lines = [
        '{"text": "a", "text": "b"}',
        '{"text": "c", "label": "x", "label": "y"}',
        '{"text": "d", "n": 1, "n": 2}',
        '{"text": "e", "meta": {"a": 1, "a": 2}}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert read(tmp_path / "a.jsonl") == [
        SkippedRow("a key that is there twice", 1, lines[0]),
        SkippedRow("a key that is there twice", 2, lines[1]),
        Sentence("d"),
        Sentence("e"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json", b'{"text": "a"}', "is no list; give a list of objects or of strings"),
        ("a.json", b"3", "is no list; give a list of objects or of strings"),
        ("a.json", b'["a"', "is not JSON; give a list of objects or of strings"),
        ("a.json", b"[" * 100_000, "is not JSON; give a list of objects or of strings"),
        ("a.json", b"[]", "holds no sentence (the file is empty)"),
        ("a.csv.gz", b"text\nplain\n", "is not packed as its name says: Not a gzipped file"),
        ("a.csv.gz", gzip.compress(b"text\n" + b"plain\n" * 9)[:-12], "is not packed as its name"),
        ("a.txt.gz", gzip.compress(b"caf\xe9\n"), "byte 0xe9 is not UTF-8"),
        ("a.txt.gz", gzip.compress(b"a\0b\n"), "line 1 holds a NUL byte"),
        ("a.txt.gz", b"", "holds no sentence (the file is empty)"),
    ],
    ids=range(10),
)
def test_what_is_none_of_these_is_refused(
    name: str, content: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: {problem}")


def test_a_torn_zst_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.txt.zst", b"hello\n" * 1000)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"a\.txt\.zst: "):
        read(path)
    path.write_bytes(b"no zst at all")
    with pytest.raises(DataError, match=r"a\.txt\.zst: "):
        read(path)
    with pytest.raises(NotFoundError, match=r"gone\.txt\.zst: no such file"):
        read(tmp_path / "gone.txt.zst")


def test_what_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "UNPACKED_BYTES_MIN", 1 << 16)
    bomb = packed(tmp_path / "a.txt.gz", b"0" * (1 << 22))
    with pytest.raises(DataError, match="unpacks to more than 200 times its size; unpack it first"):
        read(bomb)
    monkeypatch.setattr(text_files, "LINE_CHARACTERS_MAX", 1 << 10)
    long = tmp_path / "a.txt"
    long.write_text("fine\n" + "x" * 5000 + "\n")
    with pytest.raises(DataError, match="line 2 has more than 1024 characters"):
        read(long)


def table(path: Path, columns: dict[str, Any], types: dict[str, Any]) -> Path:
    """The path, now a Parquet file of these columns."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    arrays = {name: pyarrow.array(values, types.get(name)) for name, values in columns.items()}
    parquet.write_table(pyarrow.table(arrays), path)
    return path


def test_any_value_of_a_label_or_group_is_its_text(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    late = 300_000_000_000_000_000  # microseconds, of the year 11476
    kinds: list[tuple[Any, list[Any], str]] = [
        (pa.timestamp("ns"), [1_700_000_000_123_456_789], "2023-11-14 22:13:20.123456789"),
        (pa.timestamp("ns", "UTC"), [1_700_000_000_123_456_789], "2023-11-14 22:13:20.123456789"),
        (pa.timestamp("us"), [late], "11476"),
        (pa.timestamp("s"), [1 << 40], ""),
        (pa.date32(), [10_000_000], "29349"),
        (pa.time64("ns"), [1_234_567_891], "00:00:01.234567891"),
        (pa.duration("ns"), [1_234_567_891], "1234567891"),
        (pa.timestamp("ms"), [datetime(2024, 1, 2, tzinfo=UTC)], "2024-01-02 00:00:00"),
        (pa.int64(), [7], "7"),
        (pa.float64(), [0.5], "0.5"),
        (pa.bool_(), [True], "True"),
        (pa.decimal128(5, 2), [1], "1.00"),
        (pa.list_(pa.int64()), [[1, 2]], "[1, 2]"),
        (pa.struct([("a", pa.int64())]), [{"a": 1}], "{'a': 1}"),
        (pa.binary(), [b"bytes"], "bytes"),
        (pa.dictionary(pa.int32(), pa.string()), ["word"], "word"),
        (pa.large_string(), ["word"], "word"),
        (pa.null(), [None], ""),
    ]
    for number, (kind, values, expected) in enumerate(kinds):
        path = table(
            tmp_path / f"{number}.parquet",
            {"text": ["hello"], "label": values, "group": values},
            {"label": kind, "group": kind},
        )
        (row,) = read(path)
        assert isinstance(row, Sentence), (kind, row)
        assert row.text == "hello"
        assert expected in row.label, kind
        assert row.label == row.group


def test_one_value_without_a_text_costs_its_row(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    raw = pa.array([b"fine", b"caf\xe9", b"well"], pa.binary())
    broken = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
    from pyarrow import parquet

    labels = pa.array([1, 1_700_000_000_123_456_789, None], pa.timestamp("ns"))
    parquet.write_table(pa.table({"text": broken, "label": labels}), tmp_path / "a.parquet")
    found = list(read_numbered(tmp_path / "a.parquet", DataConfig()))
    assert [line for line, _ in found] == [1, 2, 3]
    assert found[0][1] == Sentence("fine", "1970-01-01 00:00:00.000000001")
    assert found[1][1] == SkippedRow("text that is not UTF-8", 2, "")
    assert found[2][1] == Sentence("well")


def test_text_of_other_types_is_read_or_named(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    values = {"text": [b"old writers", b"\xff"]}
    assert read(table(tmp_path / "a.parquet", values, {"text": pa.binary()})) == [
        Sentence("old writers"),
        SkippedRow("text that is not UTF-8", 2, ""),
    ]
    times = table(tmp_path / "b.parquet", {"text": [1, 2]}, {"text": pa.timestamp("ns")})
    with pytest.raises(DataError, match=r"b\.parquet: holds no sentence \(2 text that is not a"):
        read(times)
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    from pyarrow import parquet

    parquet.write_table(twice, tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"c\.parquet: it names the column 'text' twice"):
        read(tmp_path / "c.parquet")


def test_a_strange_column_loses_no_good_file_beside_it(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "good.txt").write_text("".join(f"sentence {number}\n" for number in range(50)))
    times = [1_700_000_000_123_456_789 + number for number in range(20)]
    for name, kind in (("ns", pa.timestamp("ns")), ("us", pa.timestamp("us"))):
        table(
            inbox / f"{name}.parquet",
            {"text": [f"{name} {number}" for number in range(20)], "label": times, "group": times},
            {"label": kind, "group": kind},
        )
    span = ingest(DataConfig(train=(inbox,)), tmp_path / "spans")
    assert span
    assert sum(span.report["kept"].values()) == 90
    assert span.report["quarantined"] == {"rows": 0, "files": {}}


def test_packed_files_of_a_folder_are_ingested_and_others_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name, content in CONTENTS.items():
        (inbox / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    (inbox / "a.tar.gz").write_bytes(b"")
    (inbox / "a.gz").write_bytes(b"")
    (inbox / "a.pdf").write_bytes(b"")
    span = ingest(DataConfig(train=(inbox,)), tmp_path / "spans")
    assert span
    assert sum(span.report["kept"].values()) == 2
    assert span.report["duplicates"]["train"] == 6
    assert f"{inbox}: left out: 3 files have no reader" in caplog.messages
