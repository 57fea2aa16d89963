"""Where the answers for many items go: JSON lines, tables, or a file of latents."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from textvae.cli import output
from textvae.cli.items import Item
from textvae.cli.output import Answer, Row
from textvae.cli.verbs import DISTINCT, Part
from textvae.client import Latents, latent_files
from textvae.client.results import EncodeResult, Facts
from textvae.pipes import is_stdout_discarded

_KEYS = {"line": "line", "row": "line", "latent": "latent"}
"""Key of an item's number in JSON, by its unit; other items have none."""


class Answered(NamedTuple):
    """An item with its rows, or with what is wrong with it."""

    item: Item
    part: Part | None = None
    """The answer that it is of; None where something is wrong."""
    place: int = 0
    """Its place in the part, from 0."""
    problem: str = ""

    @property
    def rows(self) -> list[Row]:
        """Return the rows of the item."""
        return self.part.rows[self.place] if self.part else []


class Writer(Protocol):
    """Takes the answers of one block after another."""

    def write(self, answers: Sequence[Answered], /) -> None:
        """Write a block whole."""

    def is_closed(self) -> bool:
        """Return whether nobody reads any more."""

    def end(self) -> None:
        """Write what follows the last block."""


class JsonLines:
    """An object per row, with its item's number and the version and seed that make it again."""

    def __init__(self, unit: str) -> None:
        self._key = _KEYS.get(unit, "")
        self._fewer = 0

    def write(self, answers: Sequence[Answered], /) -> None:
        """Write the rows of a block by one call."""
        lines = []
        for answer in answers:
            number: Row = {self._key: answer.item.number} if self._key else {}
            if answer.part is None:
                lines.append(number | {"error": answer.problem})
                continue
            facts = answer.part.facts
            made = {"version": facts.version, "seed": facts.seed}
            lines += [number | row | made for row in answer.rows]
            self._fewer += any("missing" in row for row in answer.rows)
        sys.stdout.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        sys.stdout.flush()

    def is_closed(self) -> bool:
        """Return whether the reader of the pipe has gone."""
        return is_stdout_discarded()

    def end(self) -> None:
        """Say how many sentences have fewer variations than were asked for."""
        if self._fewer:
            sys.stderr.write(
                f"textvae: fewer variations than asked for of {self._fewer:,} sentences; a row "
                "with the key missing says why\n"
            )


class Tables:
    """A table for people: at once, or row by row in columns of a fixed width."""

    def __init__(self, unit: str, of: str, *, at_once: bool, has_ranks: bool) -> None:
        self._unit, self._of = unit, of
        self._has_ranks = has_ranks
        self._rows: list[Row] = []
        self._notes: list[str] = []
        self._facts: list[Facts] = []
        self.is_at_once = at_once
        self._stream = None if at_once else output.TableStream()

    def write(self, answers: Sequence[Answered], /) -> None:
        """Write the rows of a block, or keep them for the end."""
        rows, notes = list[Row](), list[str]()
        for answer in answers:
            rows += [row for row in answer.rows if "missing" not in row]
            notes += [self._note(answer, row) for row in answer.rows if "missing" in row]
        self._facts += _facts_of(answers)
        rows = output.table_rows(rows, has_ranks=self._has_ranks)
        if self._stream is None:
            self._rows += rows
            self._notes += notes
            return
        self._stream.print(rows)
        for note in notes:
            sys.stderr.write(f"textvae: {note}\n")

    def _note(self, answer: Answered, row: Row) -> str:
        """Return the words for what is missing of an item."""
        reasons = [
            "a copy of it or a repeat" if reason == DISTINCT else str(reason)
            for reason in row["missing"]
        ]
        given = len(answer.rows) - 1
        is_named = self._unit == "sentence"
        what = row["sentence"] if is_named else f"{self._unit} {answer.item.number}{self._of}"
        asked = given + len(reasons)
        return f"{what}: {given} of {asked} variations; missing for {', '.join(reasons)}"

    def is_closed(self) -> bool:
        """Return whether the reader of the pipe has gone."""
        return is_stdout_discarded()

    def end(self) -> None:
        """Print the table, or the line below it: versions, seed and time."""
        if self._stream is None:
            facts = sum_of(self._facts) if self._facts else None
            output.print_table(Answer(self._rows, facts, notes=self._notes))
        elif self._facts:
            self._stream.end(sum_of(self._facts))


class LatentFile:
    """Latents in a file, which appears whole, and of one version, at the end."""

    def __init__(self, path: Path, *, is_json: bool) -> None:
        self._path, self._is_json = path, is_json
        self._found: dict[int, Answered] = {}
        self._newest = ""

    def write(self, answers: Sequence[Answered], /) -> None:
        """Keep the latents of a block."""
        for answer in answers:
            if answer.part is not None:
                self._found[answer.item.order] = answer
                self._newest = answer.part.facts.version
            elif self._is_json:
                line = {"line": answer.item.number, "error": answer.problem}
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")

    def stale(self) -> list[Item]:
        """Return the items, in order, that another version than the newest has encoded."""
        return [
            answer.item
            for _, answer in sorted(self._found.items())
            if answer.part and answer.part.facts.version != self._newest
        ]

    def is_closed(self) -> bool:
        """Return False: the file is written in any case."""
        return False

    def end(self) -> None:
        """Write the file, where there is anything to write."""
        answers = [answer for _, answer in sorted(self._found.items())]
        if not answers:
            return
        facts = sum_of(_facts_of(answers))
        encoded = EncodeResult(
            _joined("mean", answers) or Latents(np.zeros((0, 0), np.float32), facts.version),
            _joined("logvar", answers),
            _joined("samples", answers),
            facts,
        )
        latent_files.save(self._path, [answer.item.value for answer in answers], encoded)
        made = Answer([{"file": str(self._path), "sentences": len(answers)}], facts)
        (output.print_json if self._is_json else output.print_table)(made)


def _joined(name: str, answers: Sequence[Answered]) -> Latents | None:
    """Return the latents of a name of all answers, in order; None where none were asked for."""
    rows, version = [], ""
    for answer in answers:
        encoded = answer.part.encoded if answer.part else None
        latents: Latents | None = getattr(encoded, name) if encoded else None
        if latents is None or answer.part is None:
            return None
        size = len(latents.values) // len(answer.part.rows)
        rows.append(latents.values[answer.place * size : (answer.place + 1) * size])
        version = latents.version
    return Latents(np.concatenate(rows), version)


def _facts_of(answers: Sequence[Answered]) -> list[Facts]:
    """Return the facts of the answers' parts, each once."""
    parts = {id(answer.part): answer.part for answer in answers if answer.part}
    return [part.facts for part in parts.values()]


def sum_of(facts: Sequence[Facts]) -> Facts:
    """Return the sum of facts; of several versions the version is all of them."""
    versions = dict.fromkeys(one.version for one in facts)
    return facts[0]._replace(
        version=" and ".join(versions),
        queue_us=sum(one.queue_us for one in facts),
        compute_us=sum(one.compute_us for one in facts),
        tokens=sum(one.tokens for one in facts),
        batch_rows=max(one.batch_rows for one in facts),
    )
