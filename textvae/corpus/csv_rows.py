"""Records of .csv and .tsv files; a malformed record does not affect the others."""

import csv
import re
import sys
from collections import deque
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from textvae.config.data import DataConfig
from textvae.corpus.columns import check_columns, check_once
from textvae.corpus.rows import Row
from textvae.corpus.text_files import read_lines
from textvae.errors import DataError

RECORD_LINES_MAX = 10_000
"""Most lines of one record: behind a quote that nothing closes, all lines are."""
UNCLOSED = "unexpected end of data"
"""What the csv module says of a record whose quote is still open."""
SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?', re.IGNORECASE)
STRAY_QUOTE = "a quote that nothing closes, or that is not doubled"
MORE_FIELDS = "more fields than the header has"


class _Record(NamedTuple):
    """A record, or a line that is none."""

    line: int
    fields: list[str] | None
    raw: str


def csv_rows(
    path: Path, config: DataConfig, delimiter: str, *, every: bool = False
) -> Iterator[Row]:
    """Yield a row per record, by the names in the first record; `every`: each column is wanted.

    A first line `sep=;`, which Excel writes and reads, names the delimiter of the file.
    """
    lines = read_lines(path)
    first = next(lines, None)
    if first is None:
        return
    if named := SEPARATOR_LINE.fullmatch(first[1].rstrip("\r\n")):
        delimiter = named[1]
    else:
        lines = chain([first], lines)
    header = next((one for one in _records(lines, delimiter) if one.fields != []), None)
    if header is None:
        return
    if header.fields is None:
        raise DataError(f"{path}: line {header.line}, the header, has {STRAY_QUOTE}")
    names = [name.strip() for name in header.fields]
    check_once(path, names, config, f"line {header.line}", every=every)
    check_columns(path, names, config)
    for record in _records(lines, delimiter, len(names)):
        if record.fields is None:
            yield Row(record.line, {}, STRAY_QUOTE, record.raw)
        elif _more(record.fields, len(names)):
            yield Row(record.line, {}, MORE_FIELDS, record.raw)
        elif record.fields:
            yield Row(record.line, dict(zip(names, record.fields, strict=False)))


def _records(
    lines: Iterator[tuple[int, str]], delimiter: str, fields_max: int = sys.maxsize
) -> Iterator[_Record]:
    """Yield the records of lines; after a line that begins none, the next line begins one.

    A record of several lines has at most `fields_max` fields, or its first line has a stray quote.
    """
    # Any length: a field that is not read may be as long as it likes.
    csv.field_size_limit(sys.maxsize)
    waiting: deque[tuple[int, str]] = deque()
    while True:
        first = waiting.popleft() if waiting else next(lines, None)
        if first is None:
            return
        number, text = first
        taken = [text]
        while (fields := _parse(taken, delimiter)) == UNCLOSED and len(taken) < RECORD_LINES_MAX:
            following = _until_quote(waiting, lines, RECORD_LINES_MAX - len(taken))
            if not following:
                break
            taken += following
        if isinstance(fields, list) and (len(taken) == 1 or not _more(fields, fields_max)):
            yield _Record(number, fields, "".join(taken))
            continue
        waiting.extendleft(
            (number + offset, line) for offset, line in reversed(list(enumerate(taken))) if offset
        )
        yield _Record(number, None, text)


def _more(fields: list[str], most: int) -> bool:
    """Return whether there are more fields; programs that make tables add empty ones at the end."""
    return any(field.strip() for field in fields[most:])


def _until_quote(
    waiting: deque[tuple[int, str]], lines: Iterator[tuple[int, str]], most: int
) -> list[str]:
    """Return the lines up to the next one with a quote, at most so many; none at the end."""
    taken: list[str] = []
    while len(taken) < most:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            break
        taken.append(line[1])
        if '"' in line[1]:
            break
    return taken


def _parse(lines: list[str], delimiter: str) -> list[str] | str:
    """Return the fields of the one record in these lines, or what is wrong with it."""
    try:
        records = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        return UNCLOSED if UNCLOSED in str(error) else STRAY_QUOTE
    return records[0] if len(records) == 1 else STRAY_QUOTE
