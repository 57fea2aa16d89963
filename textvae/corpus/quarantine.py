"""The quarantine: rows that break their format, and files that cannot be read at all.

A record of each is in the `quarantine.jsonl` of the span of its ingest. No training reads it.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from textvae.config.data import DataConfig
from textvae.errors import DataError

QUARANTINE = "quarantine.jsonl"

REASONS_MAX = 3


class QuarantinedRow(NamedTuple):
    """A row, or a whole file, that was not ingested because it is broken."""

    file: str
    """Name of the file, without its folder."""
    line: int
    """Number of the row, from 1; 0 for a complete file."""
    reason: str
    text: str = ""
    """The beginning of the row; empty for a file, and with `data.pii` and once something was
    forgotten: a broken row cannot be searched for text that must not be stored."""

    @property
    def description(self) -> str:
        """Return where and why, for a message."""
        location = f"{self.file}:{self.line}" if self.line else self.file
        return f"{location}: {self.reason}"


def quarantine_lines(aside: Sequence[QuarantinedRow], *, texts: bool) -> bytes:
    """Return the records as JSON lines, with or without the text of the rows."""
    rows = (row if texts else row._replace(text="") for row in aside)
    lines = (json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows)
    # A lone surrogate is written as its escape, which JSON reads.
    return "".join(lines).encode("utf-8", errors="backslashreplace")


def read_quarantine(data: bytes) -> list[QuarantinedRow]:
    """Return the records of a quarantine.jsonl."""
    return [QuarantinedRow(**json.loads(line)) for line in data.splitlines()]


def check_limits(
    aside: Sequence[QuarantinedRow], read: int, config: DataConfig, inputs: str
) -> None:
    """Raise DataError where more is broken than the settings allow; `inputs` names the files.

    `read`: the number of rows of all files that are not quarantined.
    """
    files = sum(not row.line for row in aside)
    rows = len(aside) - files
    problems = []
    if files > config.bad_files_max:
        problems.append(f"{files} broken files, data.bad_files_max is {config.bad_files_max}")
    if rows > config.bad_share_max * read:
        problems.append(
            f"{rows} of {read} rows are broken, data.bad_share_max is {config.bad_share_max}"
        )
    if problems:
        raise DataError(
            f"{inputs}: {'; '.join(problems)}; first {first_reasons(aside)}; "
            "mend the text, or raise the limit to quarantine what is broken"
        )


def first_reasons(aside: Sequence[QuarantinedRow]) -> str:
    """Return the first few distinct reasons with their locations, for a message."""
    firsts: dict[str, QuarantinedRow] = {}
    for row in aside:
        firsts.setdefault(row.reason, row)
    return "; ".join(row.description for row in list(firsts.values())[:REASONS_MAX])
