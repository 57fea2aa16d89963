"""Rows of an output as the bytes of a file: Parquet, JSON lines or CSV."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from textvae.bulk.rows import plain_value
from textvae.errors import InputError, NotFoundError
from textvae.installation import how_to_install

Format = Literal["parquet", "jsonl", "csv"]
FORMATS: tuple[Format, ...] = ("parquet", "jsonl", "csv")
FOOTER = b"textvae"


class Column(NamedTuple):
    """A column of an output."""

    source: str
    """Its name among the job's columns."""
    name: str
    """Its name in the output."""
    kind: str
    """str, int, float, bool, json or vector."""


def chosen_columns(kinds: Mapping[str, str], wanted: Sequence[str]) -> list[Column]:
    """Return the columns of an output: all of them, or those wanted, as NAME or NAME=AS.

    Raises InputError for one that is not there, and for a name that is given twice.
    """
    if not wanted:
        return [Column(name, name, kind) for name, kind in kinds.items()]
    columns = []
    for each in wanted:
        source, _, name = each.partition("=")
        if source not in kinds:
            raise InputError("columns", f"there is no {source!r}; there are {', '.join(kinds)}")
        columns.append(Column(source, name or source, kinds[source]))
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise InputError("columns", f"{name!r} is named twice; name each column once")
    return columns


def format_of(path: Path, wanted: str, default: Format) -> Format:
    """Return the format that a job is asked for, or that the name of its output ends in."""
    ending = path.suffix.lower().removeprefix(".")
    if wanted and ending in FORMATS and wanted != ending:
        raise InputError("format", f"is {wanted}, and --output ends in .{ending}; leave one out")
    found = next((one for one in FORMATS if one in (wanted, ending)), default)
    if found == "parquet":
        try:
            import pyarrow  # noqa: F401 - whether it is there
        except ImportError:
            raise NotFoundError(
                f"--output: Parquet needs pyarrow; {how_to_install('pyarrow')}, or give "
                "--format jsonl or csv"
            ) from None
    return found


def shard_bytes(
    form: Format,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    footer: Mapping[str, Any],
) -> bytes:
    """Return a file of these rows; Parquet has `footer` among its metadata."""
    if form == "parquet":
        return _parquet(columns, rows, footer)
    if form == "jsonl":
        return _jsonl(columns, rows)
    return _csv(columns, rows)


def join_shards(form: Format, shards: Iterable[Path], stream: BinaryIO) -> None:
    """Write the rows of all shards to one stream, a shard at a time in memory."""
    if form == "parquet":
        _join_parquet(shards, stream)
        return
    for number, path in enumerate(shards):
        data = path.read_bytes()
        if form == "csv" and number:
            # Parsed, for the name of a column may hold a line break.
            names = next(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))
            data = data[len(_csv_line(names)) :]
        stream.write(data)


def _join_parquet(shards: Iterable[Path], stream: BinaryIO) -> None:
    from pyarrow import parquet

    writer = None
    for path in shards:
        table = parquet.read_table(path)
        if writer is None:
            writer = parquet.ParquetWriter(stream, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _jsonl(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> bytes:
    lines = (
        json.dumps(
            {one.name: _json_value(row.get(one.source)) for one in columns},
            ensure_ascii=False,
            default=str,
        )
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _csv(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> bytes:
    parts = [_csv_line([one.name for one in columns])]
    parts += [_csv_line([_field(row.get(one.source)) for one in columns]) for row in rows]
    return b"".join(parts)


def _csv_line(fields: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _field(value: Any) -> str:
    """Return a value as the field of a CSV: text as it is, none as nothing, all else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(_json_value(value), ensure_ascii=False, default=str)


def _json_value(value: Any) -> Any:
    """Return a value that JSON has; nine digits are all that a float32 of a vector has."""
    if hasattr(value, "tolist"):
        return [float(f"{number:.9g}") for number in value.tolist()]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _parquet(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], footer: Mapping[str, Any]
) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    types = {
        "str": pa.string(),
        "json": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
    }
    arrays, fields = [], []
    for one in columns:
        values = [row.get(one.source) for row in rows]
        if one.kind == "vector":
            width = int(footer["latent"])
            array = pa.array(values, pa.list_(pa.float32(), width))
        else:
            array = pa.array([plain_value(each, one.kind) for each in values], types[one.kind])
        arrays.append(array)
        fields.append(pa.field(one.name, array.type))
    metadata = {FOOTER: json.dumps(footer, sort_keys=True).encode()}
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()
