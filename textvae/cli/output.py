"""Answers on a terminal: a table for people, an object a line for pipes."""

import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from textvae.client.results import Facts

_VALUES_SHOWN = 4

Row = dict[str, Any]


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
    for column in answer.rows[0] if answer.rows else ():
        table.add_column(column, overflow="fold")
    for row in answer.rows:
        table.add_row(*(_cell(value) for value in row.values()))
    if facts := answer.facts:
        origin = f"version {facts.version}, seed {facts.seed}"
        origin += f", {(facts.queue_us + facts.compute_us) / 1000:.1f} ms"
        table.caption = "\n".join([*answer.notes, origin])
    Console(markup=False, highlight=False).print(table)


def _cell(value: Any) -> str:
    """Format a value for people: few digits, few values."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        more = ", ..." if len(value) > _VALUES_SHOWN else ""
        return ", ".join(map(_cell, value[:_VALUES_SHOWN])) + more
    return str(value)
