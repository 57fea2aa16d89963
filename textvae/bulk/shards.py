"""The shards of a bulk job: their rows, and what a worker writes of one."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from textvae.bulk.choice import wanted_of
from textvae.bulk.formats import shard_bytes
from textvae.bulk.inputs import rows_of
from textvae.bulk.pieces import answer_rows
from textvae.bulk.plan import Job, Known
from textvae.bulk.rows import InputRow
from textvae.bulk.tasks import Found
from textvae.bulk.workers import Shard


def shards_of(job: Job, known: Known, todo: set[int]) -> Iterator[Shard]:
    """Yield the shards to do, one in memory at a time."""
    size, rows = job.config.shard_rows, list[tuple[InputRow, int]]()
    for row in rows_of(job.reading):
        number = row.number // size
        if number not in todo:
            continue
        rows.append((row, wanted_of(row, job.asked, known.quotas)))
        if len(rows) == size or row.number == known.table.rows - 1:
            yield Shard(number, tuple(rows))
            rows = []


def work_on(
    job: Job, known: Known, engine: Any, shard: Shard, on_rows: Callable[[int], None]
) -> None:
    """Answer the rows of a shard and write its draft."""
    answered = answer_rows(engine, shard.rows, job.asked, on_rows)
    written = list(zip((row for row, _ in shard.rows), answered, strict=True))
    bad = Counter(reason_of(one.error) for one in answered if one.error)
    facts: dict[str, Any] = {
        **known.footer,
        "rows": len(answered),
        "found": sum(len(one.rows) for one in answered),
        "bad": dict(sorted(bad.items())),
        "missing": dict(sorted(Counter(why for one in answered for why in one.missing).items())),
    }
    if known.output.drafts_are_shards:
        rows = [
            {**row.values, "row": row.number, **one}
            for row, found in written
            for one in (found.rows or error_rows(job, _line(row, found), found.error))
        ]
        facts["rows_out"] = len(rows)
        data = shard_bytes(job.form, known.columns, rows, known.footer)
    else:
        data = "".join(_draft_line(row, found) for row, found in written).encode()
    known.output.write_draft(shard.number, data, facts)


def reason_of(error: str) -> str:
    """Return an error without what is of one row alone, to be counted by."""
    return error.partition(", got")[0]


def _draft_line(row: InputRow, found: Found) -> str:
    """Return all that is known of a row as a line of JSON, in ASCII for lone surrogates."""
    return json.dumps(_line(row, found), default=str) + "\n"


def _line(row: InputRow, found: Found) -> dict[str, Any]:
    """Return all that is known of a row."""
    return {
        "row": row.number,
        "source": row.text,
        "label": row.label,
        "group": row.group,
        "values": row.values,
        "found": found.rows,
        "missing": found.missing,
        "error": found.error,
    }


def error_rows(job: Job, line: Mapping[str, Any], error: str) -> list[dict[str, Any]]:
    """Return the row of the output that says why there is nothing; none where it is not wanted.

    `line`: number, label and values of the row; its sentence is there as the input has it.
    """
    if not job.keep_errors:
        return []
    values = line["values"]
    text = line["source"] or values.get(job.reading.config.text_column)
    own = {"source": text, "text": text, "label": line["label"], "seed": job.asked.seed}
    return [{**values, **own, "row": line["row"], "error": error}]
