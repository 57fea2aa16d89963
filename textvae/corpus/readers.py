"""Files to sentences: .txt, .jsonl, .csv and .parquet, a sentence a line or row.

A file that breaks the contract is refused (DataError names path, limit and fix); a single line is
skipped with its reason, for the data report to count, and with its text where it is broken.
"""

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from textvae.config.data import DataConfig
from textvae.errors import DataError, InputError, NotFoundError
from textvae.text.sentence import Sentence, normalise

SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")


class SkippedRow(NamedTuple):
    """A line that gave no sentence."""

    reason: str
    """A few words, the same for every line dropped for this reason."""
    line: int
    """Its number in the file, from 1; in .csv and .parquet that of the row, without the header."""
    broken: str | None = None
    """The beginning of a line that breaks its format; None for a valid one that is empty, over a
    limit or filtered."""


Row = dict[str, Any] | str
"""Values by column; the line itself where it breaks its format."""

BROKEN_CHARACTERS_MAX = 200


def read_list(path: Path) -> list[str]:
    """Return the lines of a hand-written list, with their ends. NotFoundError, DataError."""
    try:
        with open(path, encoding="utf-8-sig") as stream:
            return list(stream)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_file(path: Path, config: DataConfig) -> Iterator[Sentence | SkippedRow]:
    """Yield every line or row of a file, in order, as a sentence or as the reason why not.

    Raises InputError for a suffix without a reader, NotFoundError for a missing file, DataError for
    one that is unreadable, binary, without a column of the settings, or without any sentence.
    """
    reasons: Counter[str] = Counter()
    try:
        for line, row in enumerate(_rows(path, config), start=1):
            sentence = _sentence(row, line, config)
            reasons[sentence.reason if isinstance(sentence, SkippedRow) else ""] += 1
            yield sentence
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    except csv.Error as error:
        raise DataError(f"{path}: not readable as CSV: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not reasons[""]:
        summary = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
        raise DataError(
            f"{path}: holds no sentence ({summary or 'the file is empty'}); at least one is needed"
        )


def _sentence(row: Row, line: int, config: DataConfig) -> Sentence | SkippedRow:
    """Return the sentence of a row, or why it has none."""
    if isinstance(row, str):
        return _broken_row("not a JSON object", line, row)
    raw = row.get(config.text_column)
    if not isinstance(raw, str):
        return _broken_row("no text" if raw is None else "text that is not a string", line, row)
    text = normalise(raw)
    # JSON can escape half of a pair, which no encoding can write.
    if any("\ud800" <= character <= "\udfff" for character in text):
        return _broken_row("lone surrogates", line, row)
    problem = _problem(text, config)
    if problem:
        return SkippedRow(problem, line)
    label = _tag(row.get(config.label_column or "label"))
    group = label if config.label_is_group else _tag(row.get(config.group_column or "group"))
    return Sentence(text, label, group)


def _broken_row(reason: str, line: int, row: Row) -> SkippedRow:
    """Return a row that breaks its format, with the beginning of its text."""
    text = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str)
    return SkippedRow(reason, line, text.strip()[:BROKEN_CHARACTERS_MAX])


def _problem(text: str, config: DataConfig) -> str:
    """Return why a normalised text is no sentence; empty where it is one."""
    if not text:
        return "empty"
    if len(text) > config.characters_max:
        return f"over {config.characters_max} characters"
    if config.words_max and len(text.split()) > config.words_max:
        return f"over {config.words_max} words"
    return ""


def _tag(value: object) -> str:
    """Return a label or group as text, None as the empty string."""
    if value is None:
        return ""
    return normalise(str(value).encode("utf-8", "replace").decode("utf-8"))


def _rows(path: Path, config: DataConfig) -> Iterator[Row]:
    """Return the file's rows, by the format of its suffix."""
    match path.suffix.lower():
        case ".txt":
            _check_columns(path, [config.text_column], config)
            return ({config.text_column: line} for line in _lines(path))
        case ".jsonl":
            return _jsonl_rows(path, config)
        case ".csv":
            return _csv_rows(path, config)
        case ".parquet":
            return _parquet_rows(path, config)
    raise InputError(
        "data.inputs",
        f"{path}: must end in {', '.join(SUFFIXES)}, got {path.suffix or 'no suffix'}",
    )


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, with their ends."""
    with open(path, encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if "\0" in line:
                raise DataError(
                    f"{path}: line {number} holds a NUL byte, so this is no UTF-8 text; "
                    "give a text file"
                )
            yield line


def _jsonl_rows(path: Path, config: DataConfig) -> Iterator[Row]:
    """Yield a JSON object per line; the columns are checked at the end, when all keys are known."""
    keys: set[str] = set()
    for line in _lines(path):
        if not line.strip():
            yield {config.text_column: ""}
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = line
        if isinstance(row, dict):
            keys.update(row)
        yield row if isinstance(row, dict) else line
    if keys:
        _check_columns(path, keys, config)


def _csv_rows(path: Path, config: DataConfig) -> Iterator[Row]:
    """Yield a row per record, by the names in the first record."""
    rows = csv.DictReader(_lines(path), strict=True)
    if rows.fieldnames is not None:
        _check_columns(path, rows.fieldnames, config)
    yield from rows


def _parquet_rows(path: Path, config: DataConfig) -> Iterator[Row]:
    """Yield the rows, with only the needed columns."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise NotFoundError(
            f"{path}: needs pyarrow to be read; pip install textvae[bulk]"
        ) from None
    try:
        with parquet.ParquetFile(path) as table:
            names = table.schema_arrow.names
            _check_columns(path, names, config)
            wanted = {
                config.text_column,
                config.label_column or "label",
                config.group_column or "group",
            }
            for batch in table.iter_batches(columns=[name for name in names if name in wanted]):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a whole Parquet file: {error}") from None


def _check_columns(path: Path, names: Collection[str], config: DataConfig) -> None:
    """Raise DataError where the file lacks a column of the settings."""
    for setting in ("text_column", "label_column", "group_column"):
        wanted = getattr(config, setting)
        if wanted and wanted not in names:
            raise DataError(
                f"{path}: has no column {wanted!r}; set data.{setting} to one of "
                f"{', '.join(sorted(names))}"
            )
