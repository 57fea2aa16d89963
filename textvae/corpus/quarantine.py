"""What breaks its format and is set aside: broken rows, and files that cannot be read at all.

A record of each lies in the `quarantine.jsonl` of the span that its ingest made. Nothing is ever
learned from it.
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
    """Number of the row, from 1; 0 where the file as a whole is set aside."""
    reason: str
    text: str = ""
    """The beginning of the row; empty for a file, and with `data.pii` and once something was
    forgotten: a broken row cannot be searched for what must not be kept."""

    @property
    def description(self) -> str:
        """Where and why, for a message."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"


def quarantine_lines(aside: Sequence[QuarantinedRow], *, texts: bool) -> bytes:
    """The records as JSON lines, with or without what the rows hold."""
    rows = (one if texts else one._replace(text="") for one in aside)
    lines = (json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows)
    # A lone surrogate is written as its escape, which JSON reads.
    return "".join(lines).encode("utf-8", errors="backslashreplace")


def read_quarantine(data: bytes) -> list[QuarantinedRow]:
    """The records of a quarantine.jsonl."""
    return [QuarantinedRow(**json.loads(line)) for line in data.splitlines()]


def check_limits(aside: Sequence[QuarantinedRow], read: int, config: DataConfig, told: str) -> None:
    """DataError where more is broken than the settings allow; `told` names the inputs.

    `read`: the rows of all files that were not set aside.
    """
    files = sum(not one.line for one in aside)
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
            f"{told}: {'; '.join(problems)}; first {first_reasons(aside)}; "
            "mend the text, or raise the limit and what is broken is set aside"
        )


def first_reasons(aside: Sequence[QuarantinedRow]) -> str:
    """Where the first few different reasons were met, for a message."""
    firsts: dict[str, QuarantinedRow] = {}
    for one in aside:
        firsts.setdefault(one.reason, one)
    return "; ".join(one.description for one in list(firsts.values())[:REASONS_MAX])
