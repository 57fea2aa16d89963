"""Bulk jobs: the same bytes however they are divided, what passes through, and every task."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bulk_jobs import (
    BULK,
    MODEL,
    ROWS,
    SERVE,
    contents,
    encoded,
    generated,
    objects,
    records,
    utterances,
    write_table,
)
from textvae.engine.candidates import letters_of
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.start import load_engine


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return utterances(tmp_path_factory.mktemp("bulk") / "utterances.csv")


@pytest.fixture(scope="module")
def alone(table: Path, registry: Path) -> Path:
    """The folder of an undisturbed job."""
    folder = table.parent / "alone"
    assert generated(registry, folder, table, format="csv")["outcome"] == "done"
    return folder


def test_two_workers_write_the_bytes_of_one(
    table: Path, alone: Path, registry: Path, tmp_path: Path
) -> None:
    two = replace(BULK, workers=2)
    serve = replace(SERVE, threads=2)
    generated(registry, tmp_path / "two", table, format="csv", bulk=two, serve=serve)
    assert contents(tmp_path / "two") == contents(alone)


@pytest.mark.parametrize("parts", [2, 5, 9])
def test_parts_in_any_order_make_the_bytes_of_one(
    parts: int, table: Path, alone: Path, registry: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    outcomes = [
        generated(registry, folder, table, format="csv", shard=f"{part}/{parts}")["outcome"]
        for part in reversed(range(parts))
    ]
    assert outcomes[0] == "part"
    assert outcomes[-1] == "done"
    assert contents(folder) == contents(alone)


def test_rows_are_the_same_in_shards_of_any_size(
    table: Path, alone: Path, registry: Path, tmp_path: Path
) -> None:
    file = tmp_path / "one.csv"
    generated(registry, file, table, bulk=replace(BULK, shard_rows=1000))
    shards = sorted(alone.glob("part-*"))
    assert len(shards) == 5
    assert records(file) == [row for shard in shards for row in records(shard)]


def test_a_row_is_what_the_engine_answers_to_its_number(
    table: Path, alone: Path, registry: Path
) -> None:
    rows = [row for shard in sorted(alone.glob("part-*")) for row in records(shard)]
    number = 9
    own = [row for row in rows if row["row"] == str(number)]
    with load_engine(registry, MODEL, None, SERVE) as engine:
        request = ParaphraseRequest(
            (own[0]["source"],), 3, distinct=True, candidates=4, first_index=number
        )
        (wanted,) = engine.answer(request).results
    texts = [one.sentence.text for one in wanted.variations]
    assert [row["variation"] for row in own] == [
        text for text in texts if text in {row["variation"] for row in own}
    ]
    assert own[0]["distance"] == json.dumps(wanted.variations[0].distance)


def test_every_row_has_its_variations_once_in_the_whole_output(alone: Path, table: Path) -> None:
    rows = [row for shard in sorted(alone.glob("part-*")) for row in records(shard)]
    texts = [row["variation"] for row in rows if not row["error"]]
    assert len(texts) == len(set(texts)) > ROWS
    assert not set(texts) & {row["text"] for row in records(table)}
    for row in rows:
        assert bool(row["variation"]) != bool(row["error"])
    for number in range(ROWS):
        own = [row for row in rows if row["row"] == str(number)]
        short = [row["error"] for row in own if row["error"]]
        assert len(own) - len(short) == 2 or " of 2 missing: " in short[0]


@pytest.mark.parametrize("distinct", ["exact", "near"])
def test_rows_of_one_sentence_share_its_variations(
    distinct: str, registry: Path, tmp_path: Path
) -> None:
    """The first of each row is of the same posterior mean, so without the rule it is the same."""
    given = write_table(tmp_path / "same.csv", [["text"], *([["The cat sat."]] * 9)])
    generated(registry, tmp_path / "free.csv", given, distinct="none")
    free = [row["variation"] for row in records(tmp_path / "free.csv") if row["variation"]]
    generated(registry, tmp_path / "once.csv", given, distinct=distinct)
    rows = records(tmp_path / "once.csv")
    once = [row["variation"] for row in rows if row["variation"]]
    assert len(free) > len(set(free))
    assert len(once) == len(set(once)) > 0
    assert any("repeat" in row["error"] for row in rows)
    if distinct == "near":
        assert len({letters_of(text) for text in once}) == len(once)


def test_other_columns_pass_through_unchanged(table: Path, alone: Path) -> None:
    given = {row["id"]: row for row in records(table)}
    for shard in alone.glob("part-*"):
        for row in records(shard):
            assert row["note"] == given[row["id"]]["note"]
            assert row["label"] == given[row["id"]]["label"]
            assert row["source"] == given[row["id"]]["text"]


def test_a_start_after_the_end_changes_nothing(alone: Path, table: Path, registry: Path) -> None:
    before = contents(alone)
    again = generated(registry, alone, table, format="csv")
    assert (again["outcome"], again["rows_in"]) == ("up_to_date", ROWS)
    assert contents(alone) == before


def test_a_shard_that_is_gone_or_another_is_made_again(
    alone: Path, table: Path, registry: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mended"
    shutil.copytree(alone, folder)
    first, second = sorted(folder.glob("part-*"))[:2]
    first.unlink()
    second.write_bytes(b"something else")
    assert generated(registry, folder, table, format="csv")["outcome"] == "done"
    assert contents(folder) == contents(alone)


def test_vectors_that_are_damaged_are_made_again(
    table: Path, registry: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "vectors"
    encoded(registry, folder, table, format="jsonl")
    before = contents(folder)
    damaged = folder / "part-00002-of-00005.jsonl"
    damaged.write_bytes(damaged.read_bytes().replace(b"1", b"2"))
    assert encoded(registry, folder, table, format="jsonl")["outcome"] == "done"
    assert contents(folder) == before


def test_vectors_are_those_of_the_engine_in_every_format(
    table: Path, registry: Path, tmp_path: Path
) -> None:
    texts = tuple(row["text"] for row in records(table))
    with load_engine(registry, MODEL, None, SERVE) as engine:
        wanted = engine.answer(EncodeRequest(texts)).mean.tolist()
        version = engine.version.name
    encoded(registry, tmp_path / "v.jsonl", table, id_column="id")
    rows = objects(tmp_path / "v.jsonl")
    assert list(rows[0])[:2] == ["row", "id"]
    assert {row["version"] for row in rows} == {version}
    assert [row["vector"] for row in rows] == [
        [float(f"{number:.9g}") for number in vector] for vector in wanted
    ]
    encoded(registry, tmp_path / "v.csv", table, columns=("id", "vector=mean"))
    assert [json.loads(row["mean"]) for row in records(tmp_path / "v.csv")] == [
        row["vector"] for row in rows
    ]


def test_parquet_has_the_types_of_its_columns_and_whose_it_is(
    registry: Path, tmp_path: Path
) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    given = pa.table(
        {"text": ["The cat sat.", "A dog ran."], "age": [3, None], "share": [0.5, 1.0]}
    )
    parquet.write_table(given, tmp_path / "given.parquet")
    encoded(registry, tmp_path / "out", tmp_path / "given.parquet", deviations=True)
    (shard,) = (tmp_path / "out").glob("*.parquet")
    found = parquet.read_table(shard)
    latent = found.schema.field("vector").type.list_size
    assert found.schema.field("vector").type == pa.list_(pa.float32(), latent)
    assert found.column("age").to_pylist() == [3, None]
    assert found.column("share").type == pa.float64()
    assert len(found.column("logvar")[0].as_py()) == latent
    assert json.loads(found.schema.metadata[b"textvae"])["seed"] == 0


def test_each_task_writes_its_columns(table: Path, registry: Path, tmp_path: Path) -> None:
    generated(registry, tmp_path / "s.jsonl", task="sample", count=20, seed=4)
    draws = objects(tmp_path / "s.jsonl")
    assert [row["row"] for row in draws] == list(range(20))
    assert {row["seed"] for row in draws} == {4}
    paths = write_table(tmp_path / "p.csv", [["a", "b"], ["The cat sat.", "A dog ran."]])
    generated(
        registry, tmp_path / "p.jsonl", paths, task="interpolate", text_column="a", to_column="b"
    )
    assert [row["position"] for row in objects(tmp_path / "p.jsonl")] == [0, 0.25, 0.5, 0.75, 1]
    generated(registry, tmp_path / "r.jsonl", table, task="reconstruct")
    rebuilt = objects(tmp_path / "r.jsonl")
    assert [row["source"] for row in rebuilt] == [row["text"] for row in records(table)]
    assert all(row["reconstruction"] and row["log_prob"] < 0 for row in rebuilt)


def test_columns_are_chosen_and_renamed(table: Path, registry: Path, tmp_path: Path) -> None:
    wanted = ("variation=text", "label")
    generated(registry, tmp_path / "o.csv", table, columns=wanted, drop_errors=True)
    rows = records(tmp_path / "o.csv")
    assert set(rows[0]) == {"text", "label"}
    assert all(row["text"] for row in rows)


def test_quotas_of_labels_are_met_or_explained(table: Path, registry: Path, tmp_path: Path) -> None:
    said = generated(registry, tmp_path / "q.csv", table, per_label=20, distinct="near")
    rows = records(tmp_path / "q.csv")
    labels = [row["label"] for row in rows]
    for label in "ab":
        used = {row["row"] for row in rows if row["label"] == label}
        assert len(used) > ROWS // 2 - 3, "a quota is spread over the rows of its label"
        unmet = said["quotas_unmet"].get(label)
        assert labels.count(label) == (unmet["taken"] if unmet else 20)
        assert not unmet or unmet["refused"]
    assert said["quotas"] == 2
