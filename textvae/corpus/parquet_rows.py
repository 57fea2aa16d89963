"""Rows of .parquet files; any value is its text, or the reason of its row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textvae.config.data import DataConfig
from textvae.corpus.columns import check_columns, check_once, read_columns
from textvae.corpus.rows import Row, Unreadable
from textvae.corpus.text_files import PACKED, open_bytes
from textvae.errors import DataError, NotFoundError
from textvae.installation import how_to_install

NO_TEXT = "a value that has no text"
NO_STRING = "text that is not a string"
NOT_UTF8 = "text that is not UTF-8"


def parquet_rows(path: Path, config: DataConfig, *, every: bool = False) -> Iterator[Row]:
    """Yield the rows, with only the needed columns; `every`: with all of them."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise NotFoundError(
            f"{path}: needs pyarrow to be read; {how_to_install('pyarrow')}"
        ) from None
    number = 0
    try:
        with _source(path) as stream, parquet.ParquetFile(stream) as table:
            names = table.schema_arrow.names
            check_once(path, names, config, every=every)
            check_columns(path, names, config)
            wanted = [name for name in names if every or name in read_columns(config)]
            for batch in table.iter_batches(columns=wanted):
                columns = {
                    name: _values(batch.column(name), is_text=name == config.text_column)
                    for name in wanted
                }
                for values in zip(*columns.values(), strict=True):
                    number += 1
                    yield Row(number, dict(zip(columns, values, strict=True)))
    except (DataError, OSError):
        raise
    except Exception as error:
        # Its words may hold text of the file.
        kind = type(error).__name__
        raise DataError(f"{path}: not a whole Parquet file ({kind} after row {number})") from None


def _source(path: Path) -> Any:
    """Open the file; a packed one is unpacked into memory."""
    if path.suffix.lower() not in PACKED:
        return open(path, "rb")
    import io

    with open_bytes(path) as stream:
        return io.BytesIO(stream.read())


def _values(column: Any, *, is_text: bool) -> list[Any]:
    """Return the values of a column: at once, or one by one where Python has none for some."""
    try:
        values = column.to_pylist()
    except Exception:  # of any kind: each type of Arrow has its own
        values = [_value(scalar, is_text=is_text) for scalar in column]
    return [_decode(value) if isinstance(value, bytes) else value for value in values]


def _value(scalar: Any, *, is_text: bool) -> Any:
    """Return one value; its text by Arrow where Python has none, as of nanoseconds.

    Of the column of the text only what is text counts.
    """
    import pyarrow

    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return Unreadable(NOT_UTF8)
    except Exception:
        if is_text:
            return Unreadable(NO_STRING)
        try:
            return scalar.cast(pyarrow.string()).as_py()
        except Exception:
            return Unreadable(NO_TEXT)


def _decode(value: bytes) -> Any:
    """Return the text of bytes: old writers do not mark text as such."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return Unreadable(NOT_UTF8)
