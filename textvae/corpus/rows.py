"""A row of a file before it is a sentence: its values by column, or what is wrong with it."""

from typing import Any, NamedTuple


class Row(NamedTuple):
    """One line, record or object of a file."""

    line: int
    """Where it begins, from 1: the line of a file of lines, else the number of the row."""
    values: dict[str, Any]
    """By column; empty where it breaks its format."""
    problem: str = ""
    """Why it breaks its format, the same words for every such row."""
    raw: str = ""
    """Its text, where it breaks its format."""


class Unreadable(NamedTuple):
    """A value that a column holds and that has no text."""

    reason: str
