"""Broken rows and files are set aside with their reasons, and stop an ingest only past a limit."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.job_runs import prepared, ran_job
from tests.test_ingest import must, texts, toy_lines, write_lines
from textvae.config.data import DataConfig
from textvae.corpus.data_report import report_lines
from textvae.corpus.forget import forget
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import Span, list_spans, load_spans
from textvae.errors import DataError, NotFoundError
from textvae.text.sentence import normalise


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    """Where spans go; it does not exist yet."""
    return tmp_path / "spans"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder with 400 good sentences in a file."""
    write_lines(tmp_path / "inbox" / "good.txt", toy_lines(400))
    return tmp_path / "inbox"


def rows_of(path: Path, bad: int, good: int = 100) -> Path:
    """The path, now JSON lines of which the last `bad` are broken."""
    rows = [json.dumps({"text": f"a good row with number {number}"}) for number in range(good)]
    return write_lines(path, [*rows, *(f"broken {number}" for number in range(bad))])


def quarantine(span: Span) -> list[dict[str, Any]]:
    """What a span set aside."""
    lines = (span.folder / "quarantine.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def test_a_broken_row_is_kept_with_file_line_reason_and_its_beginning(
    spans: Path, inbox: Path
) -> None:
    """The span lists them in its manifest, the report counts them, and no corpus has them."""
    rows = ['{"text": "fine 👍"}'] * 20
    rows += ["{torn \u2028", '{"text": 3}', '{"text": "\\ud800"}', "x" * 900, '{"text": " "}']
    write_lines(inbox / "rows.jsonl", rows)
    span = must(ingest(DataConfig(inputs=(inbox,)), spans))
    assert quarantine(span) == [
        {"file": "rows.jsonl", "line": line, "reason": reason, "text": text}
        for line, reason, text in (
            (21, "not a JSON object", "{torn"),
            (22, "text that is not a string", '{"text": 3}'),
            (23, "lone surrogates", '{"text": "\ud800"}'),
            (24, "not a JSON object", "x" * 200),
        )
    ]
    assert "quarantine.jsonl" in json.loads((span.folder / "manifest.json").read_bytes())["files"]
    assert span.report["quarantined"] == {"rows": 4, "files": {}}
    assert span.report["dropped"]["not a JSON object"] == {"count": 2, "first": "rows.jsonl:21"}
    assert span.report["dropped"]["empty"]["count"] == 1
    corpus = load_spans(spans)
    assert sum(map(len, (corpus.train, corpus.valid, corpus.test))) == 401
    assert "set aside              4   of these, broken: see quarantine.jsonl" in report_lines(
        span.report
    )


def test_a_changed_quarantine_is_found_like_any_other_file(spans: Path, inbox: Path) -> None:
    """It is sealed with its span."""
    rows_of(inbox / "rows.jsonl", bad=1)
    span = must(ingest(DataConfig(inputs=(inbox,)), spans))
    (span.folder / "quarantine.jsonl").write_bytes(b"")
    with pytest.raises(Exception, match=r"quarantine\.jsonl: has 0 bytes"):
        load_spans(spans)


def break_files(inbox: Path) -> dict[str, str]:
    """Broken files of every kind in the inbox, with the reason that each has."""
    contents = {
        "a.csv": (b"text,text\nfine,\n", "line 1 names the column 'text' twice; name each once"),
        "b.csv": (b"body\nx\n", "has no column 'text'; set data.text_column to one of body"),
        "c.jsonl": (b'{"body": 1}\n', "has no column 'text'; set data.text_column to one of body"),
        "d.txt": ("fine\n" * 3 + "caf\u00e9\n").encode("latin-1"),
        "e.txt": (b"fine\nno\0text\n", "line 2 holds a NUL byte, so this is no UTF-8 text"),
        "f.json": (b'{"text": 1}', "is no list; give a list of objects or of strings"),
        "g.jsonl": (b"plain\n", "holds no sentence (1 not a JSON object)"),
        "h.jsonl": (b'{"text": "fine", "n": ' + b"1" * 5000 + b"}\n", "holds no sentence"),
    }
    reasons = {}
    for name, content in contents.items():
        data, reason = (
            content if isinstance(content, tuple) else (content, "byte 0xe9 is not UTF-8")
        )
        (inbox / name).write_bytes(data)
        reasons[name] = reason
    return reasons


def test_a_broken_file_is_set_aside_as_a_whole_and_the_others_come_in(
    spans: Path, inbox: Path
) -> None:
    """Also its good lines stay out: who knows where it went wrong?"""
    reasons = break_files(inbox)
    span = must(ingest(DataConfig(inputs=(inbox,)), spans))
    found = span.report["quarantined"]["files"]
    assert found.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert found[name].startswith(reason), name
    assert {(row["file"], row["line"]) for row in quarantine(span)} == {(n, 0) for n in reasons}
    assert span.report["read"] == 400
    assert "fine" not in texts(load_spans(spans).train)
    lines = "\n".join(report_lines(span.report))
    assert "set aside           file   f.json: is no list; give a list of objects" in lines


def test_a_broken_parquet_file_is_set_aside(spans: Path, inbox: Path) -> None:
    """Where there is a reader for it at all."""
    pytest.importorskip("pyarrow")
    (inbox / "a.parquet").write_bytes(b"PAR1 no")
    span = must(ingest(DataConfig(inputs=(inbox,)), spans))
    assert "not a whole Parquet file" in span.report["quarantined"]["files"]["a.parquet"]


def test_a_file_that_the_disk_does_not_give_is_read_once_it_does(spans: Path, inbox: Path) -> None:
    """Reported once, and by no later nightly run until it can be read."""
    path = inbox / "z.txt"
    path.symlink_to("/proc/self/mem")
    span = must(ingest(DataConfig(inputs=(inbox,)), spans))
    reason = "cannot be read: Input/output error"
    assert span.report["quarantined"]["files"] == {"z.txt": reason}
    assert ingest(DataConfig(inputs=(inbox,)), spans) is None
    path.unlink()
    write_lines(path, ["At last."])
    assert must(ingest(DataConfig(inputs=(inbox,)), spans)).report["read"] == 1


def test_a_broken_file_is_read_again_once_it_changed_or_the_settings_did(
    spans: Path, inbox: Path
) -> None:
    """But not by every nightly run, and other limits do not matter."""
    path = inbox / "rows.jsonl"
    write_lines(path, ['{"body": "so it is"}'])
    assert must(ingest(DataConfig(inputs=(inbox,)), spans)).report["quarantined"]["files"]
    assert ingest(DataConfig(inputs=(inbox,), bad_files_max=0), spans) is None
    other = DataConfig(inputs=(path,), text_column="body")
    assert must(ingest(other, spans)).report["read"] == 1
    write_lines(path, ['{"text": "so it was"}'])
    assert must(ingest(DataConfig(inputs=(inbox,)), spans)).report["read"] == 1


def test_where_only_broken_things_are_new_there_is_a_record_and_no_span(
    spans: Path, inbox: Path
) -> None:
    """So that nothing is trained anew, and the same is not reported again."""
    config = DataConfig(inputs=(inbox,))
    must(ingest(config, spans))
    before = list_spans(spans)
    write_lines(inbox / "bad.jsonl", ["no JSON"])
    rows_of(inbox / "rows.jsonl", bad=1, good=0)
    known = [json.dumps({"text": text}) for text in toy_lines(9)]
    write_lines(inbox / "rows.jsonl", [*known, "broken"])
    record = must(ingest(config, spans))
    assert record.folder.parent == spans / "aside"
    assert [row["file"] for row in quarantine(record)] == ["bad.jsonl", "rows.jsonl"]
    assert record.report["duplicates"]["train"] + record.report["duplicates"]["valid"] > 0
    assert list_spans(spans) == before
    assert ingest(config, spans) is None
    write_lines(inbox / "bad.jsonl", ["still no JSON"])
    assert must(ingest(config, spans)).name.startswith("000002-")


@pytest.mark.parametrize(
    ("rows", "files", "limits", "problem"),
    [
        (30, 0, {}, "30 of 530 rows are broken, data.bad_share_max is 0.05"),
        (0, 3, {}, "3 broken files, data.bad_files_max is 2"),
        (0, 1, {"bad_files_max": 0}, "1 broken files, data.bad_files_max is 0"),
    ],
)
def test_more_that_is_broken_than_the_limits_allow_stops_the_ingest(
    spans: Path, inbox: Path, rows: int, files: int, limits: dict[str, Any], problem: str
) -> None:
    """With the counts and the first reasons; nothing changes, so the next run reads again."""
    rows_of(inbox / "rows.jsonl", bad=rows)
    for number in range(files):
        (inbox / f"{number}.txt").write_bytes(b"\xff")
    settings = {"bad_share_max": 0.05, "bad_files_max": 2, **limits}
    with pytest.raises(DataError) as caught:
        ingest(DataConfig(inputs=(inbox,), **settings), spans)
    assert str(caught.value).startswith(f"{inbox}: {problem}; first ")
    first = "0.txt: byte 0xff is not UTF-8" if files else "rows.jsonl:101: not a JSON object"
    assert first in str(caught.value)
    assert list_spans(spans) == []
    assert not (spans / "aside").exists()


def test_as_much_that_is_broken_as_the_limits_allow_is_set_aside(spans: Path, inbox: Path) -> None:
    """A limit is what is still allowed."""
    rows_of(inbox / "rows.jsonl", bad=125)
    for number in range(20):
        (inbox / f"{number}.txt").write_bytes(b"\xff%d" % number)
    span = must(ingest(DataConfig(inputs=(inbox,)), spans))
    assert span.report["quarantined"]["rows"] == 125  # of 625
    assert len(span.report["quarantined"]["files"]) == 20


def test_a_missing_file_that_the_settings_name_is_no_broken_file(spans: Path, inbox: Path) -> None:
    """A typing error must not wait for somebody who reads reports."""
    with pytest.raises(NotFoundError, match=r"gone\.txt: no such file"):
        ingest(DataConfig(inputs=(inbox, inbox / "gone.txt")), spans)


def test_a_first_ingest_of_nothing_but_broken_files_is_an_error(spans: Path, inbox: Path) -> None:
    """There is no corpus to stay with."""
    (inbox / "good.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"no file gives a sentence: good\.txt: byte 0xff is not"):
        ingest(DataConfig(inputs=(inbox,)), spans)
    assert list(spans.glob("0*")) == []


def test_the_job_says_what_it_set_aside_and_ends_well(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "jobs")
    break_files(folder / "inbox")
    ended = ran_job(folder, "ingest")
    assert (ended.code, ended.line["outcome"]) == (0, "ingested")
    assert len(ended.line["report"]["quarantined"]["files"]) == 8
    (folder / "inbox" / "z.txt").write_bytes(b"\xff")
    ended = ran_job(folder, "ingest")
    assert (ended.code, ended.line["outcome"]) == (0, "no_data")
    assert list(ended.line["report"]["quarantined"]["files"]) == ["z.txt"]
    assert (folder / "spans" / "aside" / ended.line["aside"]).is_dir()
    assert len(list_spans(folder / "spans")) == 1


def test_once_something_was_forgotten_no_text_of_broken_rows_is_kept(
    spans: Path, inbox: Path
) -> None:
    """It may be text to be forgotten, which cannot be decided."""
    config = DataConfig(inputs=(inbox,))
    secret = normalise("My secret.")
    write_lines(inbox / "rows.jsonl", [*['{"text": "ok"}'] * 9, f'{{"text": "{secret}"'])
    must(ingest(config, spans))
    write_lines(inbox / "more.jsonl", [*['{"text": "ok"}'] * 9, f'{{"text": "{secret}", }}'])
    record = must(ingest(config, spans))
    assert secret in quarantine(record)[0]["text"]
    forget(write_lines(inbox.parent / "forget.txt", [secret]), spans)
    write_lines(inbox / "again.jsonl", [*['{"text": "ok"}'] * 9, f'{{"text": "{secret}" }}}}'])
    must(ingest(config, spans))
    for folder, _, names in os.walk(spans):
        for name in names:
            assert secret.encode() not in Path(folder, name).read_bytes()
    records = sorted((spans / "aside").iterdir())
    assert [name.name[:6] for name in records] == ["000001", "000002"]
    span = Span("", records[0], {})
    assert quarantine(span) == [
        {"file": "more.jsonl", "line": 10, "reason": "not a JSON object", "text": ""}
    ]
    assert ingest(config, spans) is None
