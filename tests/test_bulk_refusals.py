"""What a bulk job refuses, what a broken row costs, and what a disk or a second start meets."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.tables import part_of
from tests.bulk_jobs import (
    BULK,
    contents,
    encoded,
    generated,
    objects,
    records,
    utterances,
    write_table,
)
from textvae import files
from textvae.bulk.output import Part, hold_part
from textvae.errors import BusyError, DataError, InputError, NotFoundError

BAD = replace(BULK, bad_share_max=0.5)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return utterances(tmp_path / "utterances.csv")


def visible(folder: Path) -> list[str]:
    """The names that a reader of the folder sees."""
    return [path.name for path in folder.iterdir() if path.name[0] != "."]


def test_a_row_without_a_sentence_or_too_long_costs_itself(registry: Path, tmp_path: Path) -> None:
    long = "word " * 60
    rows = [["id", "text"], ["1", "The cat sat."], ["2", ""], ["3", long], ["4", "A dog ran."]]
    given = write_table(tmp_path / "given.csv", rows)
    with given.open("a") as stream:
        stream.write("5,a stray field,here\n6,The cat ran.\n")
    said = encoded(registry, tmp_path / "out.jsonl", given, bulk=BAD)
    found = objects(tmp_path / "out.jsonl")
    assert [bool(row["vector"]) for row in found] == [True, False, False, True, False, True]
    assert [row["error"] for row in found if not row["vector"]] == [
        "empty",
        found[2]["error"],
        "more fields than the header has",
    ]
    assert found[2]["error"].startswith("must be at most 40 tokens, got ")
    assert found[2]["text"] == long.strip()
    assert said["bad"] == 3
    assert said["bad_by_reason"]["must be at most 40 tokens"] == 1


def test_a_refused_row_changes_no_other(registry: Path, tmp_path: Path, table: Path) -> None:
    rows = records(table)
    rows[4]["text"] = "word " * 60
    broken = [["id", "text", "label", "note"], *(list(row.values()) for row in rows)]
    generated(registry, tmp_path / "sound.jsonl", table, distinct="none")
    given = write_table(tmp_path / "broken.csv", broken)
    generated(registry, tmp_path / "broken.jsonl", given, distinct="none")
    sound, found = objects(tmp_path / "sound.jsonl"), objects(tmp_path / "broken.jsonl")
    assert [row for row in found if row["row"] != 4] == [row for row in sound if row["row"] != 4]


@pytest.mark.parametrize("text", ["", "word " * 60])
def test_too_many_bad_rows_end_with_65_and_nothing_visible(
    text: str, registry: Path, tmp_path: Path
) -> None:
    given = write_table(tmp_path / "given.csv", [["text"], ["The cat sat."], [text + " "], [text]])
    with given.open("a") as stream:
        stream.write('""\n')
    with pytest.raises(DataError, match=r"bulk\.bad_share_max: \d of \d rows .* at most 0.2") as e:
        encoded(registry, tmp_path / "out", given, format="jsonl")
    assert e.value.exit_code == 65
    assert not (tmp_path / "out").exists() or visible(tmp_path / "out") == []
    raised = replace(BULK, bad_share_max=1.0)
    assert encoded(registry, tmp_path / "out", given, format="jsonl", bulk=raised)["bad"]


def test_an_output_of_another_identity_is_refused_by_name(
    registry: Path, tmp_path: Path, table: Path
) -> None:
    folder = tmp_path / "out"
    generated(registry, folder, table, format="csv")
    with pytest.raises(InputError, match=r"output: .*out: is of another seed \(0, not 1\)"):
        generated(registry, folder, table, format="csv", seed=1)
    with pytest.raises(InputError, match=r"of other settings \(count was 2, is 3\)"):
        generated(registry, folder, table, format="csv", count=3)
    with table.open("a") as stream:
        stream.write("u99,One more.,a,none\n")
    with pytest.raises(InputError, match=r"utterances.csv changed since the start"):
        generated(registry, folder, table, format="csv")


def test_what_is_not_ours_is_not_written_over(registry: Path, tmp_path: Path, table: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "letters.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds something else \(letters.txt\)"):
        generated(registry, tmp_path / "folder", table)
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(InputError, match=r"mine.csv: exists already"):
        generated(registry, tmp_path / "mine.csv", table)
    assert (tmp_path / "mine.csv").read_text() == "mine"
    assert visible(tmp_path / "folder") == ["letters.txt"]


def test_a_second_start_on_one_output_ends_with_75(
    registry: Path, tmp_path: Path, table: Path
) -> None:
    folder = tmp_path / "out"
    with hold_part(folder, Part()):
        with pytest.raises(BusyError, match="held by shard 0/1") as error:
            generated(registry, folder, table, format="csv")
        with pytest.raises(BusyError, match="with another --shard"):
            generated(registry, folder, table, format="csv", shard="1/2")
    assert error.value.exit_code == 75
    assert generated(registry, folder, table, format="csv")["outcome"] == "done"


def test_missing_and_double_columns_are_named(registry: Path, tmp_path: Path, table: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(DataError, match=r"no column 'utterance'; set --text-column to one of"):
        generated(registry, out, table, text_column="utterance")
    with pytest.raises(DataError, match=r"--id-column: the input has no column 'key'; it has id"):
        generated(registry, out, table, id_column="key")
    twice = write_table(tmp_path / "twice.csv", [["text", "n", "n"], ["The cat sat.", "1", "2"]])
    with pytest.raises(DataError, match="names the column 'n' twice"):
        generated(registry, out, twice)
    same = write_table(tmp_path / "same.csv", [["text", "seed"], ["The cat sat.", "1"]])
    with pytest.raises(InputError, match="has the columns seed, which the output has too"):
        generated(registry, out, same)
    with pytest.raises(InputError, match="columns: there is no 'text'; there are row, id"):
        generated(registry, out, table, columns=("text",))
    with pytest.raises(NotFoundError, match=r"nowhere\.csv: no such file"):
        generated(registry, out, tmp_path / "nowhere.csv")
    assert not out.exists()


def test_quotas_need_labels_and_thresholds_that_something_passes(
    registry: Path, tmp_path: Path, table: Path
) -> None:
    plain = write_table(tmp_path / "plain.csv", [["text"], ["The cat sat."]])
    with pytest.raises(InputError, match="per_label: the input has no labels; name their column"):
        generated(registry, tmp_path / "q.csv", plain, per_label=3)
    with pytest.raises(InputError, match=r"per_label: asks a row for \d+ variations, at most 1024"):
        generated(registry, tmp_path / "q.csv", table, per_label=50_000)
    with pytest.raises(DataError, match=r"--fluency-max 1e-06: nothing passes: .* not-fluent") as e:
        generated(registry, tmp_path / "t.csv", table, fluency_max=1e-6)
    assert e.value.exit_code == 65
    assert visible(tmp_path / "t.csv.parts") == []
    with pytest.raises(InputError, match="adequacy_min: needs candidates that are judged"):
        generated(registry, tmp_path / "j.csv", table, candidates=1, adequacy_min=0.5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "sample"}, "count: must be the number of draws"),
        ({"task": "interpolate"}, "to_column: must name a column"),
        ({"count": 2, "per_label": 2}, "per_label: must not be given with count"),
        ({"task": "reconstruct", "count": 2}, "count: is not for --task reconstruct"),
        ({"shard": "3/3"}, "shard: must be I/N with I from 0 to N - 1"),
        ({"format": "jsonl"}, "format: is jsonl, and --output ends in .csv"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    settings: dict[str, object], words: str, registry: Path, tmp_path: Path, table: Path
) -> None:
    inputs = () if settings.get("task") == "sample" else (table,)
    settings = {"count": 0, **settings}
    with pytest.raises(InputError) as error:
        generated(registry, tmp_path / "out.csv", *inputs, **settings)
    assert words in str(error.value)


def test_a_part_is_a_number_below_how_many_there_are() -> None:
    assert part_of("3/8") == (3, 8)
    with pytest.raises(InputError, match="shard"):
        part_of("-1/8")


@pytest.mark.parametrize("call", [1, 6, 11, 17, 25])
def test_a_full_disk_ends_with_74_and_the_next_start_with_the_same_bytes(
    call: int, registry: Path, tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated(registry, tmp_path / "alone", table, format="csv")
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            generated(registry, tmp_path / "full", table, format="csv")
    assert not (tmp_path / "full" / "_SUCCESS").exists()
    assert generated(registry, tmp_path / "full", table, format="csv")["outcome"] == "done"
    assert contents(tmp_path / "full") == contents(tmp_path / "alone")


def test_locked_words_stay_where_a_sentence_has_them(
    registry: Path, tmp_path: Path, table: Path
) -> None:
    generated(registry, tmp_path / "l.csv", table, lock=("The",), ban=("garden",))
    rows = [row for row in records(tmp_path / "l.csv") if row["variation"]]
    assert any("The" in row["source"].split() for row in rows)
    for row in rows:
        assert "The" not in row["source"].split() or "The" in row["variation"].split()
        assert "garden" not in row["variation"]


def test_packed_files_folders_and_globs_are_one_input(registry: Path, tmp_path: Path) -> None:
    import gzip

    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.txt").write_text("The cat sat.\nA dog ran.\n")
    (inbox / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "The cat ran.", "n": 3}\n'))
    (inbox / "c.json").write_text('[{"text": "A dog sat.", "n": null}]')
    encoded(registry, tmp_path / "folder.jsonl", inbox)
    encoded(registry, tmp_path / "glob.jsonl", inbox / "*")
    rows = objects(tmp_path / "folder.jsonl")
    assert [row["row"] for row in rows] == [0, 1, 2, 3]
    assert [row.get("n") for row in rows] == [None, None, 3, None]
    assert (tmp_path / "glob.jsonl").read_bytes() == (tmp_path / "folder.jsonl").read_bytes()
