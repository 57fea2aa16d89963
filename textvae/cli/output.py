"""Answers on a terminal: a table for people, an object a line for pipes."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from textvae.client.results import Facts

_VALUES_SHOWN = 4
_NUMBER_WIDTH = 9
_TEXT_WIDTH_MIN = 12

Row = dict[str, Any]

_UNJUDGED = ("distance", "log_prob", "tokens", "ended", "similarity", "locks")
"""Columns that a table of judged variations leaves out, for room for the axes and the text."""


class Answer(NamedTuple):
    """The output of a command."""

    rows: list[Row]
    """Each is an object of --json and a line of the table, with its keys as columns."""
    facts: Facts | None = None
    """How the rows were computed."""
    exit_code: int = 0
    notes: Sequence[str] = ()
    """Lines below the table."""


def print_json(answer: Answer) -> None:
    """Print one object per line, each with the version and seed that reproduce it."""
    origin = {"version": answer.facts.version, "seed": answer.facts.seed} if answer.facts else {}
    for row in answer.rows:
        sys.stdout.write(json.dumps(row | origin, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(answer: Answer) -> None:
    """Print a table as wide as the terminal, and below it notes, version, seed and time."""
    table = Table(caption_justify="left")
    # Some rows have columns that others lack, as those of locks.
    columns = dict.fromkeys(column for row in answer.rows for column in row)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in answer.rows:
        table.add_row(*(_cell(row.get(column, "")) for column in columns))
    below = [*answer.notes, *([_origin(answer.facts)] if answer.facts else [])]
    if below:
        table.caption = "\n".join(below)
    _console().print(table)


class TableStream:
    """A table that is printed some rows at a time; the first rows set the widths of its columns."""

    def __init__(self) -> None:
        self._widths: dict[str, int] = {}

    def print(self, rows: Sequence[Row]) -> None:
        """Print rows by one call, below the header the first time."""
        if not rows:
            return
        console = _console()
        is_first = not self._widths
        if is_first:
            self._widths = _widths(rows, console.width)
        table = Table(box=box.HEAVY_HEAD, show_edge=False, show_header=is_first)
        for column, width in self._widths.items():
            table.add_column(column, width=width, overflow="fold")
        for row in rows:
            table.add_row(*(_cell(row.get(column, "")) for column in self._widths))
        console.print(table)

    def end(self, facts: Facts) -> None:
        """Print version, seed and time."""
        _console().print(_origin(facts), soft_wrap=True)


def table_rows(rows: Sequence[Row], *, has_ranks: bool) -> list[Row]:
    """Return rows as people read them: each alternative of a beam is a row of its own, with its
    rank, and judged variations leave out what makes their table too wide."""
    if any("adequacy" in row for row in rows):
        rows = [{name: row[name] for name in row if name not in _UNJUDGED} for row in rows]
    if not has_ranks:
        return list(rows)
    ranked = list[Row]()
    for row in rows:
        others = row.get("alternatives", [])
        ranked.append(_with_rank(row, 1, {}))
        ranked += [_with_rank(row, rank, other) for rank, other in enumerate(others, start=2)]
    return ranked


def _with_rank(row: Row, rank: int, other: Mapping[str, Any]) -> Row:
    """Return a row with its rank before its text; an alternative has only columns of its own."""
    found = Row()
    for name, value in row.items():
        if name == "text":
            found["rank"] = rank
        if name != "alternatives":
            found[name] = other.get(name, "") if other else value
    return found


def _widths(rows: Sequence[Row], room: int) -> dict[str, int]:
    """Return the width of each column: what numbers need, and an even share of the rest for text.

    Text is what the first row has as a string; a column of short ones takes what it needs.
    """
    needed = {
        column: max(cell_len(column), *(cell_len(_cell(row.get(column, ""))) for row in rows))
        for column in rows[0]
    }
    texts = [column for column in ("sentence", "text") if column in needed]
    widths = {
        column: width if isinstance(rows[0][column], str | bool) else max(width, _NUMBER_WIDTH)
        for column, width in needed.items()
    }
    rest = room - sum(widths[column] for column in widths if column not in texts) - 3 * len(widths)
    for column in texts:
        widths[column] = max(rest // len(texts), _TEXT_WIDTH_MIN)
    return widths


def _console() -> Console:
    """Return stdout as it is now."""
    return Console(markup=False, highlight=False)


def _origin(facts: Facts) -> str:
    """Return the words for how rows were computed."""
    milliseconds = (facts.queue_us + facts.compute_us) / 1000
    return f"version {facts.version}, seed {facts.seed}, {milliseconds:.1f} ms"


def _cell(value: Any) -> str:
    """Format a value for people: few digits, few values."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        more = ", ..." if len(value) > _VALUES_SHOWN else ""
        return ", ".join(map(_cell, value[:_VALUES_SHOWN])) + more
    if isinstance(value, dict) and "text" in value:
        return str(value["text"])  # a lock
    return str(value)
