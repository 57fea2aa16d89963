"""Files to sentences: text, JSON, CSV and Parquet, a sentence a line or row, packed or not.

A file that breaks the contract is refused (DataError names path, limit and fix); a single line is
skipped with its reason, for the data report to count, and with its text where it is broken.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from textvae.config.data import DataConfig
from textvae.corpus.columns import check_columns
from textvae.corpus.csv_rows import csv_rows
from textvae.corpus.json_rows import json_rows, jsonl_rows
from textvae.corpus.parquet_rows import NO_STRING, parquet_rows
from textvae.corpus.rows import Row, Unreadable
from textvae.corpus.text_files import PACKED, inner_suffix, read_lines
from textvae.errors import DataError, InputError, NotFoundError
from textvae.text.sentence import Sentence, normalise

SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet", ".tsv", ".json")

BROKEN_CHARACTERS_MAX = 200


class SkippedRow(NamedTuple):
    """A line that gave no sentence."""

    reason: str
    """A few words, the same for every line dropped for this reason."""
    line: int
    """Where it begins, from 1: its line; in .json and .parquet the number of its row."""
    broken: str | None = None
    """The beginning of a line that breaks its format; None for a valid one that is empty, over a
    limit or filtered."""


class EmptyFileError(DataError):
    """A file that is sound and gives no sentence."""


def has_reader(path: Path) -> bool:
    """Return whether there is a reader for a file of this name."""
    return inner_suffix(path) in SUFFIXES


def read_file(path: Path, config: DataConfig) -> Iterator[Sentence | SkippedRow]:
    """Yield every line or row of a file, in order, as a sentence or as the reason why not.

    Raises InputError for a suffix without a reader, NotFoundError for a missing file, DataError for
    one that is unreadable, binary, without a column of the settings, or without any sentence:
    EmptyFileError where none of its rows is broken.
    """
    return (row for _, row in read_numbered(path, config))


def read_numbered(path: Path, config: DataConfig) -> Iterator[tuple[int, Sentence | SkippedRow]]:
    """Yield as `read_file`, each with its number."""
    return ((row.line, sentence) for row, sentence in _read(path, config, every=False))


def read_whole_rows(
    path: Path, config: DataConfig
) -> Iterator[tuple[dict[str, Any], Sentence | SkippedRow]]:
    """Yield as `read_file`, each with the values of all columns; of a broken row there are none."""
    return ((row.values, sentence) for row, sentence in _read(path, config, every=True))


def _read(
    path: Path, config: DataConfig, *, every: bool
) -> Iterator[tuple[Row, Sentence | SkippedRow]]:
    """Yield as `read_file`, each with its row; `every`: with all columns."""
    reasons: Counter[str] = Counter()
    is_broken = False
    try:
        for row in _rows(path, config, every):
            sentence = _sentence(row, row.line, config)
            if isinstance(sentence, SkippedRow):
                is_broken = is_broken or sentence.broken is not None
            reasons[sentence.reason if isinstance(sentence, SkippedRow) else ""] += 1
            yield row, sentence
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not reasons[""]:
        summary = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
        problem = f"holds no sentence ({summary or 'the file is empty'}); at least one is needed"
        raise (DataError if is_broken else EmptyFileError)(f"{path}: {problem}")


def _sentence(found: Row, line: int, config: DataConfig) -> Sentence | SkippedRow:
    """Return the sentence of a row, or why it has none."""
    if found.problem:
        return _broken_row(found.problem, line, found.raw)
    row = found.values
    for value in row.values():
        if isinstance(value, Unreadable):
            return SkippedRow(value.reason, line, "")
    raw = row.get(config.text_column)
    if not isinstance(raw, str):
        return _broken_row("no text" if raw is None else NO_STRING, line, row)
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


def _broken_row(reason: str, line: int, row: dict[str, Any] | str) -> SkippedRow:
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
    """Return a label or group as text; None and NaN, by which tables say none, as no text."""
    if value is None or value != value:
        return ""
    return normalise(str(value).encode("utf-8", "replace").decode("utf-8"))


def _rows(path: Path, config: DataConfig, every: bool) -> Iterator[Row]:
    """Return the file's rows, by the format of its suffix."""
    match inner_suffix(path):
        case ".txt":
            check_columns(path, [config.text_column], config)
            return (Row(number, {config.text_column: line}) for number, line in read_lines(path))
        case ".jsonl":
            return jsonl_rows(path, config, every=every)
        case ".json":
            return json_rows(path, config, every=every)
        case ".csv":
            return csv_rows(path, config, config.separator or ",", every=every)
        case ".tsv":
            return csv_rows(path, config, config.separator or "\t", every=every)
        case ".parquet":
            return parquet_rows(path, config, every=every)
    raise InputError(
        "data.inputs",
        f"{path}: must end in {', '.join(SUFFIXES)}, packed with {' or '.join(PACKED)} or not, "
        f"got {path.suffix or 'no suffix'}",
    )
