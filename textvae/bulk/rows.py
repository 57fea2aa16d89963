"""The rows of a bulk job's input, and what is known of all of them."""

import json
from typing import Any, NamedTuple

KINDS = ("bool", "int", "float", "str", "json")
"""What the values of a column are; `json` where they are no one of the others."""


class InputRow(NamedTuple):
    """A row of the input."""

    number: int
    """Its number in the whole input, from 0."""
    text: str = ""
    label: str = ""
    group: str = ""
    values: dict[str, Any] = {}  # noqa: RUF012 - never changed
    """Of all its columns."""
    problem: str = ""
    """Why it has no sentence; empty where it has one."""


class Table(NamedTuple):
    """What is known of a whole input."""

    rows: int
    bad: int
    """Rows without a sentence."""
    columns: dict[str, str]
    """The kind of each column, in the order of the input."""
    labels: dict[str, int]
    """Rows with a sentence, by label."""
    groups: dict[str, int]


def plain_value(value: Any, kind: str) -> Any:
    """Return a value as its column's kind: as it is, a number as a float, or as JSON."""
    if value is None or kind in ("bool", "int"):
        return value
    if kind == "float":
        return float(value)
    if kind == "str" or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str, sort_keys=True)
