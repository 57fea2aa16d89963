"""The text of a row that was not kept stands nowhere: not in spans, results, logs or reports."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.job_runs import CONFIG, prepared, ran_job
from textvae.config.data import DataConfig
from textvae.corpus.columns import is_plain
from textvae.corpus.forget import forget
from textvae.corpus.ingest import ingest
from textvae.corpus.quarantine import QUARANTINE
from textvae.errors import DataError

MARK = "zqx"
"""Stands in every made-up row, and nowhere else."""
PERSONAL = [
    f"{MARK}{number} lives here, mail a{number}.{MARK}@example.org or call 030 {1234567 + number}"
    for number in range(1000)
]


def csv_without_header(rows: list[str]) -> str:
    return "".join(f'"{row}",billing\n' for row in rows)


WRITERS: dict[str, Callable[[list[str]], str]] = {
    "no header.csv": csv_without_header,
    "no header, no quotes.csv": lambda rows: "".join(f"{row},billing\n" for row in rows),
    "one column.csv": lambda rows: "".join(f'"{row}"\n' for row in rows),
    "other header.csv": lambda rows: "utterance,intent\n" + csv_without_header(rows),
    "with header.csv": lambda rows: "text,label\n" + csv_without_header(rows),
    "header, no quotes.csv": lambda rows: "text,label\n" + "".join(f"{row},x\n" for row in rows),
    "stray quotes.csv": lambda rows: "text,label\n" + "".join(f'"{row},x\n' for row in rows),
    "no header.tsv": lambda rows: "".join(f"{row}\tbilling\n" for row in rows),
    "with header.tsv": lambda rows: "text\tlabel\n" + "".join(f"{row}\tx\n" for row in rows),
    "plain.txt": lambda rows: "".join(f"{row}\n" for row in rows),
    "objects.jsonl": lambda rows: "".join(json.dumps({"text": row}) + "\n" for row in rows),
    "torn.jsonl": lambda rows: "".join(json.dumps({"text": row})[:-1] + "\n" for row in rows),
    "keys.jsonl": lambda rows: "".join(json.dumps({row: "x"}) + "\n" for row in rows),
    "twice.jsonl": lambda rows: "".join(f'{{"text": "a", "text": "{row}"}}\n' for row in rows),
    "strings.jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    "strings.json": json.dumps,
    "objects.json": lambda rows: json.dumps([{"text": row} for row in rows]),
    "keys.json": lambda rows: json.dumps([{row: "x"} for row in rows]),
    "torn.json": lambda rows: json.dumps(rows)[:-1],
    "nul.txt": lambda rows: "".join(f"{row}\n" for row in rows) + "\0",
}


def found_in(folder: Path, without: Path) -> list[str]:
    """The files below the folder that hold the mark, without those below `without`."""
    return [
        str(Path(parent, name))
        for parent, _, names in os.walk(folder)
        for name in names
        if without not in (Path(parent), *Path(parent).parents)
        and MARK.encode() in Path(parent, name).read_bytes()
    ]


@pytest.mark.parametrize("filters", ["pii", "blocklist"])
def test_a_thousand_personal_rows_of_every_format_leave_no_trace(
    filters: str, tmp_path: Path
) -> None:
    """By the job itself: its spans, result, standard streams, log, and the result of a failure."""
    if filters == "pii":
        config = CONFIG.replace("[tokenizer]", "pii = true\nbad_share_max = 1.0\n[tokenizer]")
    else:
        blocked = '["blocked.txt"]'
        config = CONFIG.replace(
            "[tokenizer]", f"blocklist = {blocked}\nbad_share_max = 1.0\n[tokenizer]"
        )
    folder = prepared(tmp_path / "jobs", config)
    (tmp_path / "jobs" / "blocked.txt").write_text("lives here\nmail\n")
    inbox = folder / "inbox"
    for number, (name, write) in enumerate(WRITERS.items()):
        part = PERSONAL[number * 40 : number * 40 + 200] if number < 20 else PERSONAL
        (inbox / name).write_text(write(part))
    ended = ran_job(folder, "ingest")
    assert (ended.code, ended.line["outcome"]) == (0, "ingested")
    assert found_in(folder, inbox) == []
    assert MARK not in ended.stdout + ended.stderr
    failed = ran_job(folder, "ingest", "--data.bad-files-max", "0", "--data.delimiter", ";")
    assert failed.code == 65
    assert found_in(folder, inbox) == []
    assert MARK not in failed.stdout + failed.stderr


def test_the_issue_s_own_file_says_how_many_columns_it_has(tmp_path: Path) -> None:
    line = "my number is 030 1234567 and mail a.b@example.org,billing"
    path = tmp_path / "a.csv"
    path.write_text(f"{line}\nanother one,shipping\n")
    with pytest.raises(DataError) as error:
        ingest(DataConfig(inputs=(path,), pii=True), tmp_path / "spans")
    assert str(error.value).endswith(
        "a.csv: has no column 'text'; it has 2 columns; set data.text_column to the name of one, "
        "or write the names of the columns in the first line"
    )


def test_what_is_forgotten_after_a_refused_file_stands_nowhere(tmp_path: Path) -> None:
    inbox, spans = tmp_path / "inbox", tmp_path / "spans"
    inbox.mkdir()
    (inbox / "good.txt").write_text("".join(f"sentence {number}\n" for number in range(100)))
    (inbox / "a.csv").write_text(f"{PERSONAL[0]}\n{PERSONAL[1]}\n")
    (inbox / "b.jsonl").write_text(f'{{"text": "fine"}}\n{{"text": "{PERSONAL[2]}"\n')
    span = ingest(DataConfig(train=(inbox,)), spans)
    assert span
    # Without a filter a broken row is shown, so that somebody can mend it.
    assert PERSONAL[2] in (span.folder / QUARANTINE).read_text()
    assert found_in(spans, inbox) == [str(span.folder / QUARANTINE)]
    (tmp_path / "forget.txt").write_text(PERSONAL[0] + "\n")
    forget(tmp_path / "forget.txt", spans)
    assert found_in(spans, inbox) == []


@pytest.mark.parametrize(
    "name",
    ["text", "Label", "customer_message", "customerMessage", "user id", "Review Body", "label2",
     "meta.lang", "source-text", "Unnamed: 0", "intent_label"],
)  # fmt: skip
def test_names_of_columns_may_be_named(name: str) -> None:
    assert is_plain(name)


@pytest.mark.parametrize(
    "name",
    ["Schmidt", "my number is 030 1234567", "a.b@example.org", "hello", "where is my order", "42",
     "4111111111111111", "text 030 1234567", "Anna", "\\u9000\\u8d27", "", " ", "user 4711",
     "text text text text text", "DE89370400440532013000", "text=anna", "label'anna"],
)  # fmt: skip
def test_what_may_be_text_is_no_name(name: str) -> None:
    assert not is_plain(name)
