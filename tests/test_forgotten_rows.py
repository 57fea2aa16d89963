"""After a nightly run and a forget no job's output quotes a row that was dropped or forgotten."""

import gzip
import json
import random
import re
from pathlib import Path

import pytest

from tests.job_runs import NIGHTLY_CONFIG, Ended, prepared, ran
from tests.test_personal_rows import MARK, PERSONAL, WRITERS, found_in

ROWS = 200
_DRAWS = random.Random(0)
CODES = ["".join(_DRAWS.choices("bcdfghjkqvxw", k=8)) for _ in range(ROWS)]
"""One begins each row that is learned and forgotten; no model of seconds writes one."""
LEARNED = [f"{code} asked <about> the late order & the refund" for code in CODES]
CONFIG = NIGHTLY_CONFIG.replace(
    "[tokenizer]", "pii = true\nbad_share_max = 1.0\nbad_files_max = 99\n[tokenizer]"
)
CONFIG += "hook = \"sh -c 'cat >> hook.jsonl'\"\n"
QUOTE = re.compile("|".join(CODES).encode())
AFTER = (
    ("evaluate",),
    ("report",),
    ("doctor",),
    ("fsck",),
    ("nightly",),
    ("report",),
    ("export", "--tensorboard", "events"),
    ("prune",),
    ("rollback",),
)


def learn_rows(inbox: Path) -> None:
    """Rows that are kept, in files with a header, without one, and of JSON."""
    fields = "".join(f'"{text}",late\n' for text in LEARNED[:70])
    (inbox / "learned.csv").write_text("text,label\n" + fields)
    rows = [json.dumps({"text": text, "label": "late"}) for text in LEARNED[70:140]]
    (inbox / "learned.jsonl").write_text("\n".join(rows))
    (inbox / "learned.txt").write_text("\n".join(LEARNED[140:]))


def write_packed(inbox: Path) -> None:
    """Personal rows in Parquet, gzip and Zstandard, whole and torn, with and without a header."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"text": PERSONAL, "label": ["billing"] * len(PERSONAL)})
    pq.write_table(table, inbox / "whole.parquet")
    pq.write_table(table.rename_columns(["utterance", "intent"]), inbox / "other columns.parquet")
    pq.write_table(pa.table({row: ["x"] for row in PERSONAL[:50]}), inbox / "text as names.parquet")
    numbers = pa.table({"text": range(9), "note": PERSONAL[:9]})
    pq.write_table(numbers, inbox / "numbers.parquet")
    (inbox / "torn.parquet").write_bytes((inbox / "whole.parquet").read_bytes()[:-20])
    for name in ("no header.csv", "with header.tsv", "torn.jsonl", "torn.json", "plain.txt"):
        content = WRITERS[name](PERSONAL[:200]).encode()
        (inbox / f"{name}.gz").write_bytes(gzip.compress(content))
        (inbox / f"torn {name}.gz").write_bytes(gzip.compress(content)[:-30])
        (inbox / f"{name}.zst").write_bytes(pa.compress(content, "zstd", asbytes=True))
        (inbox / f"no gzip {name}.gz").write_bytes(content)


def quotes(folder: Path, inbox: Path) -> list[str]:
    """The files of the jobs that quote a learned row."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and inbox not in path.parents and QUOTE.search(path.read_bytes())
    ]


def said(ended: Ended) -> bytes:
    """What a job wrote to its standard streams."""
    return (ended.stdout + ended.stderr).encode()


def test_a_nightly_run_and_jobs_after_a_forget_quote_no_row_that_is_not_kept(
    tmp_path: Path,
) -> None:
    """1,000 personal rows are dropped or set aside; 200 are learned and then forgotten."""
    folder = prepared(tmp_path / "jobs", CONFIG)
    inbox = folder / "inbox"
    learn_rows(inbox)
    for number, (name, write) in enumerate(WRITERS.items()):
        (inbox / name).write_text(write(PERSONAL[number * 40 : number * 40 + 200]))
    night = ran(folder, "jobs.nightly", "--config", "toy.toml")
    assert night.line["outcome"] == "promoted", night.stderr
    assert found_in(folder, inbox) == []
    assert MARK.encode() not in said(night)
    quoting = quotes(folder, inbox)
    assert any(name.endswith("index.html") for name in quoting), "the report shows no learned row"

    forgotten = tmp_path / "forget.txt"
    forgotten.write_text("\n".join(LEARNED) + "\n")
    ended = ran(folder, "jobs.ingest", "--config", "toy.toml", "--forget", str(forgotten))
    assert (ended.code, ended.line["erased"]) == (0, ROWS)
    assert len(ended.line["reports_removed"]) == 1
    assert quotes(folder, inbox) == []
    for job, *flags in AFTER:
        ended = ran(folder, f"jobs.{job}", "--config", "toy.toml", *flags)
        assert ended.code == 0, (job, ended.stderr)
        assert not QUOTE.search(said(ended)), job
        assert MARK.encode() not in said(ended), job
    assert quotes(folder, inbox) == []
    assert found_in(folder, inbox) == []
    again = ran(folder, "jobs.ingest", "--config", "toy.toml", "--forget", str(forgotten))
    assert (again.line["erased"], again.line["reports_removed"]) == (0, [])


def test_personal_rows_in_packed_files_leave_no_trace(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "jobs", CONFIG)
    inbox = folder / "inbox"
    write_packed(inbox)
    ended = ran(folder, "jobs.ingest", "--config", "toy.toml")
    assert (ended.code, ended.line["outcome"]) == (0, "ingested"), ended.stderr
    assert ended.line["report"]["kept"]
    assert found_in(folder, inbox) == []
    assert MARK.encode() not in said(ended)
