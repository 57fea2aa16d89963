"""Sentences of a file (--input), read as the jobs read theirs, with the flags' names in errors."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from textvae.cli.items import Item, Source, blank_item
from textvae.config.data import DataConfig
from textvae.corpus.readers import SkippedRow, read_numbered
from textvae.corpus.text_files import inner_suffix
from textvae.errors import InputError, TextVaeError

PIECE_ROWS = 1024
CHARACTERS_MAX = 1 << 30
"""As good as no limit: the server has its own, and says so of the row."""

_FLAGS = {
    "data.text_column": "--text-column",
    "data.delimiter": "--delimiter",
    "data.inputs": "--input",
}
"""Flag of each setting of the readers."""


def file_source(flags: argparse.Namespace) -> Source:
    """Return the rows of --input. The file is read twice: a first time to count them.

    So an unreadable file, or one without the column, is an error before any sentence is sent.
    """
    path: Path = flags.input
    if str(path) == "-" or (path.exists() and not path.is_file()):
        problem = f"must be a file, got {path}; pipe in sentences a line without this flag"
        raise InputError("--input", problem)
    with _own_flags():
        column = flags.text_column or DataConfig.text_column
        # No other column is read, so none is asked for or warned of.
        config = DataConfig(
            delimiter=flags.delimiter or "",
            text_column=column,
            label_column=column,
            group_column=column,
            characters_max=CHARACTERS_MAX,
        )
        total = sum(1 for _ in read_numbered(path, config))
    unit = "row" if inner_suffix(path) in (".json", ".parquet") else "line"
    return Source(_pieces(path, config, flags.skip_blank), unit, f" of {path}", total)


def _pieces(path: Path, config: DataConfig, skip_blank: bool) -> Iterator[list[Item]]:
    """Yield the rows of a file, a thousand at a time."""
    piece: list[Item] = []
    with _own_flags():
        for number, row in read_numbered(path, config):
            if not isinstance(row, SkippedRow):
                piece.append(Item(number, row.text))
            elif row.reason == "empty":
                piece += blank_item(number, skip_blank)
            else:
                piece.append(Item(number, problem=f"cannot be read: {row.reason}"))
            if len(piece) >= PIECE_ROWS:
                yield piece
                piece = []
    yield piece


@contextmanager
def _own_flags() -> Iterator[None]:
    """Raise errors of the readers again, with flags in the place of settings."""
    try:
        yield
    except InputError as error:
        raise InputError(_translated(error.field), _translated(error.problem)) from None
    except TextVaeError as error:
        raise type(error)(_translated(str(error))) from None


def _translated(words: str) -> str:
    """Return the words of an error with the flags of the terminal."""
    for setting, flag in _FLAGS.items():
        words = words.replace(f"set {setting} to", f"set {flag} to").replace(setting, flag)
    return words
