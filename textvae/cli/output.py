"""Answers on a terminal: a table for people, an object a line for pipes."""

import json
import sys
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from textvae.client.results import Facts

_VALUES_SHOWN = 4

Row = dict[str, Any]


class Answer(NamedTuple):
    """What a command has to say."""

    rows: list[Row]
    """An object of --json each; a line of the table each, its keys being the columns."""
    facts: Facts | None = None
    """How the rows were made."""
    exit_code: int = 0


def print_json(answer: Answer) -> None:
    """An object a line, each with the version and seed that make it again."""
    again = {"version": answer.facts.version, "seed": answer.facts.seed} if answer.facts else {}
    for row in answer.rows:
        sys.stdout.write(json.dumps(row | again, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(answer: Answer) -> None:
    """A table as wide as the terminal, and below it how it was made."""
    table = Table(caption_justify="left")
    for column in answer.rows[0] if answer.rows else ():
        table.add_column(column, overflow="fold")
    for row in answer.rows:
        table.add_row(*(_cell(value) for value in row.values()))
    if facts := answer.facts:
        made = f"version {facts.version}, seed {facts.seed}"
        table.caption = f"{made}, {(facts.queue_us + facts.compute_us) / 1000:.1f} ms"
    Console(markup=False, highlight=False).print(table)


def _cell(value: Any) -> str:
    """A value for people: few digits, few values."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        more = ", ..." if len(value) > _VALUES_SHOWN else ""
        return ", ".join(map(_cell, value[:_VALUES_SHOWN])) + more
    return str(value)
