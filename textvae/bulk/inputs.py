"""The input of a bulk job: its files, its rows with all their columns, and what is known of it."""

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.bulk.rows import KINDS, InputRow, Table
from textvae.config.data import DataConfig
from textvae.corpus.folders import files_of
from textvae.corpus.readers import EmptyFileError, SkippedRow, has_reader, read_whole_rows
from textvae.errors import DataError, InputError, NotFoundError, TextVaeError
from textvae.progress import ProgressCallback

PROGRESS_ROWS = 10_000
_FLAGS = {
    "data.text_column": "--text-column",
    "data.label_column": "--label-column",
    "data.group_column": "--group-column",
    "data.delimiter": "--delimiter",
    "data.inputs": "--input",
}
"""Flag of each setting of the readers."""


class Reading(NamedTuple):
    """How an input is read."""

    paths: tuple[Path, ...]
    config: DataConfig
    id_column: str = ""
    rows: int = 0
    """Of an input without files: the number of its rows."""


def reading_of(
    inputs: Sequence[Path], config: DataConfig, id_column: str = "", rows: int = 0
) -> Reading:
    """Return the files of paths, folders and globs, in the order given, by name within each.

    Raises NotFoundError where nothing is there, InputError for a file without a reader.
    """
    paths: list[Path] = []
    for each in inputs:
        matches = [Path(name) for name in sorted(glob.glob(str(each), recursive=True))]
        if not each.exists() and not matches:
            raise NotFoundError(f"--input: {each}: no such file or folder, and no glob of any")
        for match in [each] if each.exists() else matches:
            found = files_of(match)
            for one in found:
                if one.problem:
                    raise DataError(f"--input: {one.path}: {one.problem}")
            if not found:
                raise NotFoundError(f"--input: {match}: holds no file that has a reader")
            paths += [one.path for one in found]
    for path in paths:
        if not has_reader(path):
            with_flag(InputError("data.inputs", f"{path}: has no reader"))
    return Reading(tuple(paths), config, id_column, rows)


def hashes_of(reading: Reading) -> list[str]:
    """Return the SHA-256 of each file."""
    return [files.sha256_file(path) for path in reading.paths]


def rows_of(reading: Reading) -> Iterator[InputRow]:
    """Yield every row of the input, in order. Raises errors with flags in the place of settings."""
    if not reading.paths:
        yield from (InputRow(number) for number in range(reading.rows))
        return
    number = 0
    for path in reading.paths:
        try:
            for values, sentence in read_whole_rows(path, reading.config):
                if isinstance(sentence, SkippedRow):
                    yield InputRow(number, values=values, problem=sentence.reason)
                else:
                    yield InputRow(number, *sentence, values=values)
                number += 1
        except EmptyFileError:
            if len(reading.paths) == 1:
                raise
        except TextVaeError as error:
            raise with_flag(error) from None


def table_of(reading: Reading, on_progress: ProgressCallback) -> Table:
    """Read the whole input once. Raises DataError where it lacks the id's column."""
    kinds: dict[str, str] = {}
    labels: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    rows = bad = 0
    for row in rows_of(reading):
        rows, bad = rows + 1, bad + bool(row.problem)
        if not row.problem:
            labels[row.label] += 1
            groups[row.group] += 1
        for name, value in row.values.items():
            kinds[name] = _wider(kinds.get(name, ""), _kind(value))
        if rows % PROGRESS_ROWS == 0:
            on_progress("read", rows, rows + 1)
    on_progress("read", rows, rows)
    if reading.id_column and reading.id_column not in kinds:
        raise DataError(
            f"--id-column: the input has no column {reading.id_column!r}; it has "
            f"{', '.join(kinds) or 'none'}"
        )
    kinds = {name: kind or "str" for name, kind in kinds.items()}
    return Table(rows, bad, kinds, dict(labels), dict(groups))


def with_flag(error: TextVaeError) -> TextVaeError:
    """Return the error with the flags of the job in the place of the readers' settings."""
    if isinstance(error, InputError):
        return InputError(_translated(error.field), _translated(error.problem))
    return type(error)(_translated(str(error)))


def _translated(words: str) -> str:
    for setting, flag in _FLAGS.items():
        words = words.replace(setting, flag)
    return words


def _kind(value: Any) -> str:
    """Return the kind of one value; empty for none."""
    if value is None:
        return ""
    name = type(value).__name__
    if name == "int" and not -(2**63) <= value < 2**63:
        return "json"
    return name if name in KINDS else "json"


def _wider(one: str, other: str) -> str:
    """Return the kind that holds the values of both."""
    if one == other or not other:
        return one
    if not one:
        return other
    return "float" if {one, other} == {"int", "float"} else "json"
