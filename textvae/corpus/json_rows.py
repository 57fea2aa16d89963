"""Objects of .jsonl files, one a line, and of .json files, a list of objects or of strings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textvae.config.data import DataConfig
from textvae.corpus.columns import check_columns, read_columns
from textvae.corpus.rows import Row
from textvae.corpus.text_files import read_lines
from textvae.errors import DataError

NO_OBJECT = "not a JSON object"
TWICE = "a key that is there twice"


class _Object(dict[str, Any]):
    """An object, with the names of the keys that it has more than once."""

    twice: frozenset[str] = frozenset()


def jsonl_rows(path: Path, config: DataConfig, *, every: bool = False) -> Iterator[Row]:
    """Yield a JSON object per line; the columns are checked at the end, when all keys are known.

    `every`: each key is wanted, so none may be there twice.
    """
    keys: set[str] = set()
    for number, line in read_lines(path):
        if not line.strip():
            yield Row(number, {config.text_column: ""})
            continue
        try:
            value = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError):
            value = None
        yield _row(number, value, line, keys, config, every=every)
    if keys:
        check_columns(path, keys, config)


def json_rows(path: Path, config: DataConfig, *, every: bool = False) -> Iterator[Row]:
    """Yield the items of a list; a file of an object a line is read as that, as by `jsonl_rows`."""
    text = "".join(line for _, line in read_lines(path))
    if not text.strip():
        return
    try:
        items = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        if text.lstrip().startswith("{"):
            yield from jsonl_rows(path, config, every=every)
            return
        raise DataError(f"{path}: is not JSON; give a list of objects or of strings") from None
    if not isinstance(items, list):
        raise DataError(f"{path}: is no list; give a list of objects or of strings")
    keys: set[str] = set()
    for number, item in enumerate(items, start=1):
        if isinstance(item, str):
            keys.add(config.text_column)
            yield Row(number, {config.text_column: item})
        else:
            raw = json.dumps(item, ensure_ascii=False)
            yield _row(number, item, raw, keys, config, every=every)
    if keys:
        check_columns(path, keys, config)


def _row(
    number: int, value: Any, raw: str, keys: set[str], config: DataConfig, *, every: bool
) -> Row:
    """Return the row of a value, and add its keys to `keys`."""
    if not isinstance(value, _Object):
        return Row(number, {}, NO_OBJECT, raw)
    keys.update(value)
    if value.twice and (every or value.twice & read_columns(config)):
        return Row(number, {}, TWICE, raw)
    return Row(number, value)


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    """Return an object of its keys and values."""
    value = _Object(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        value.twice = frozenset(name for name in value if names.count(name) > 1)
    return value
