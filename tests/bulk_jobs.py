"""Bulk jobs in this process: tables of the toy grammar, and what comes out of them."""

import csv
import json
from pathlib import Path
from typing import Any

from jobs import encode, generate
from textvae.config.bulk import BulkConfig
from textvae.config.data import StoreConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.toy_grammar import sample

ROWS, SHARD_ROWS = 31, 7
BULK = BulkConfig(shard_rows=SHARD_ROWS, workers=1)
SERVE = ServeConfig(threads=1, tokens_max=40)
MODEL = "toy"


def write_table(path: Path, rows: list[list[str]]) -> Path:
    """A CSV of these rows, the first of which is the header."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    return path


def utterances(path: Path, count: int = ROWS) -> Path:
    """A CSV of different sentences, each with an id, a label of two, and a note."""
    texts = list(dict.fromkeys(row.text for row in sample(4 * count, seed=3)))[:count]
    rows = [
        [f"u{number}", text, "ab"[number % 2], f"note, {number}"]
        for number, text in enumerate(texts)
    ]
    return write_table(path, [["id", "text", "label", "note"], *rows])


def generated(registry: Path, output: Path, *inputs: Path, **settings: Any) -> dict[str, Any]:
    """What `jobs.generate` returns."""
    defaults = {"bulk": BULK, "serve": SERVE, "count": 2, "spare": 1}
    if settings.get("task", "paraphrase") != "paraphrase" or {"per_label", "per_group"} & {
        *settings
    }:
        del defaults["count"]
    store = StoreConfig(registry=registry, model=MODEL)
    chosen: Any = {**defaults, **settings}
    return generate.main(generate.Generate(output, input=inputs, store=store, **chosen))


def encoded(registry: Path, output: Path, *inputs: Path, **settings: Any) -> dict[str, Any]:
    """What `jobs.encode` returns."""
    store = StoreConfig(registry=registry, model=MODEL)
    chosen: Any = {"bulk": BULK, "serve": SERVE, **settings}
    return encode.main(encode.Encode(inputs, output, store=store, **chosen))


def records(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def objects(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all that is visible in an output, without what is said of the start alone."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}
    if report := found.get("report.json"):
        said = json.loads(report)
        del said["this_start"]
        found["report.json"] = json.dumps(said).encode()
    return found
