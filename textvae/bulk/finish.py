"""The end of a bulk job: from drafts to shards that all can see, a report, and _SUCCESS."""

import functools
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from textvae import files
from textvae.bulk.choice import Choice
from textvae.bulk.formats import join_shards, shard_bytes
from textvae.bulk.inputs import rows_of
from textvae.bulk.output import REPORT, SUCCESS
from textvae.bulk.plan import Job, Known
from textvae.bulk.shards import error_rows
from textvae.errors import DataError
from textvae.locks import hold_lock
from textvae.progress import ProgressCallback

log = logging.getLogger(__name__)

AXES = ("adequacy", "fluency", "novelty", "distance")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
REASONS_MAX = 20
"""Reasons that a report names; the others are counted together."""


class _Figures:
    """What a report says of the rows of an output."""

    def __init__(self) -> None:
        self.rows_out = 0
        self.axes: dict[str, Counter[float]] = {name: Counter() for name in AXES}

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row; its axes to three digits, so that memory has an end."""
        for name, counts in self.axes.items():
            if isinstance(value := row.get(name), float):
                counts[round(value, 3)] += 1

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Return the quantiles of each axis that was judged."""
        return {name: _quantiles(counts) for name, counts in self.axes.items() if counts}


def check_bad(job: Job, bad: int, rows: int, reasons: Mapping[str, int]) -> None:
    """Raise DataError where too many rows have no result."""
    share, most = bad / max(rows, 1), job.config.bad_share_max
    if share <= most:
        return
    words = ", ".join(f"{count} {why}" for why, count in Counter(reasons).most_common(3))
    raise DataError(
        f"bulk.bad_share_max: {bad} of {rows} rows have no result{': ' * bool(words)}{words}; at "
        f"most {most:g} of them may, got {share:.3g}; mend the input or raise the limit"
    )


def finish(
    job: Job, known: Known, rates: Mapping[str, float], on_progress: ProgressCallback
) -> dict[str, Any]:
    """Make the shards visible, join them where one file is wanted, and report.

    Raises DataError, with nothing visible, where too many rows have no result, or none has any.
    """
    output = known.output
    with hold_lock(output.folder / ".finish-lock", "the end of a bulk job"):
        files.remove_unfinished(output.folder)
        notes = [note for number in range(output.shards) if (note := output.note(number))]
        bad = sum((Counter(note["bad"]) for note in notes), Counter[str]())
        check_bad(job, bad.total(), known.table.rows, bad)
        _check_found(job, notes)
        choice = None
        figures = _Figures()
        if output.drafts_are_shards:
            figures.rows_out = sum(note["rows_out"] for note in notes)
            hashes = {
                output.shard(number).name: output.show_draft(number)
                for number in range(output.shards)
            }
        else:
            choice = Choice(job.asked, known.quotas, _sources(job))
            hashes = _chosen_shards(job, known, choice, figures, on_progress)
        report = _report(known, figures, bad, choice)
        shards = [output.shard(number) for number in range(output.shards)]
        joined = ""
        if output.file:
            files.write_parts(output.file, functools.partial(join_shards, job.form, shards))
            joined = files.sha256_file(output.file)
        files.write_json(output.folder / REPORT, {**report, "this_start": dict(rates)})
        counts = {name: report[name] for name in ("rows_in", "rows_out", "bad")}
        said = {**known.footer, "counts": counts, "files": hashes, "joined": joined}
        files.write_json(output.folder / SUCCESS, said)
        output.remove_drafts()
    log.info("%d rows in, %d out, %d bad", counts["rows_in"], counts["rows_out"], counts["bad"])
    return {"output": str(job.output), **report, "rows_per_s": rates["rows_per_s"]}


def _chosen_shards(
    job: Job, known: Known, choice: Choice, figures: _Figures, on_progress: ProgressCallback
) -> dict[str, str]:
    """Write the shards of what is chosen among all drafts, in the order of the input."""
    output, hashes = known.output, {}
    for number in range(output.shards):
        rows: list[dict[str, Any]] = []
        with open(output.draft(number), encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                taken, problem = choice.take(line)
                rows += [{**line["values"], "row": line["row"], **one} for one in taken]
                if problem:
                    rows += error_rows(job, line, problem)
        for row in rows:
            figures.add(row)
        figures.rows_out += len(rows)
        data = shard_bytes(job.form, known.columns, rows, known.footer)
        files.write_bytes(output.shard(number), data)
        hashes[output.shard(number).name] = hashlib.sha256(data).hexdigest()
        on_progress("choose", number + 1, output.shards)
    return hashes


def _report(
    known: Known, figures: _Figures, bad: Counter[str], choice: Choice | None
) -> dict[str, Any]:
    """Return what became of the rows: figures that are the same for every start."""
    report: dict[str, Any] = {
        **known.footer,
        "rows_in": known.table.rows,
        "rows_out": figures.rows_out,
        "bad": bad.total(),
        "bad_by_reason": _commonest(bad),
        "shards": known.output.shards,
    }
    if choice:
        report["missing_by_reason"] = _commonest(choice.missing)
        report["quantiles"] = figures.quantiles()
    if choice and known.quotas:
        unmet = choice.unmet()
        report["quotas"], report["quotas_unmet"] = len(known.quotas), unmet
        for name, each in unmet.items():
            log.warning("%s: %d of %d: %s", name, each["taken"], each["wanted"], each["refused"])
    return report


def _check_found(job: Job, notes: list[dict[str, Any]]) -> None:
    """Raise DataError where the thresholds let nothing pass."""
    if any(note["found"] for note in notes):
        return
    why = sum((Counter(note["missing"]) for note in notes), Counter[str]())
    flags = {"adequacy_min": 0.0, "fluency_max": float("inf"), "novelty_min": 0.0}
    held = [
        f"--{name.replace('_', '-')} {getattr(job.asked, name):g}"
        for name, unbound in flags.items()
        if getattr(job.asked, name) != unbound
    ]
    if not held or not why:
        return
    words = ", ".join(f"{count} {reason}" for reason, count in why.most_common(3))
    raise DataError(
        f"{' '.join(held)}: nothing passes: of {why.total()} variations that "
        f"were asked for there is none ({words}); ask for less, or for more --candidates"
    )


def _sources(job: Job) -> Iterator[str]:
    """Yield the sentences of the input."""
    return (row.text for row in rows_of(job.reading) if row.text)


def _commonest(reasons: Counter[str]) -> dict[str, int]:
    """Return reasons with their counts, the rare ones together."""
    common = dict(reasons.most_common(REASONS_MAX))
    rest = reasons.total() - sum(common.values())
    return {**common, **({"others": rest} if rest else {})}


def _quantiles(counts: Counter[float]) -> dict[str, float]:
    """Return the quantiles of values that were counted."""
    total, found, so_far = counts.total(), {}, 0
    wanted = list(QUANTILES)
    for value in sorted(counts):
        so_far += counts[value]
        while wanted and so_far >= wanted[0] * total:
            found[f"{wanted.pop(0):g}"] = value
    return found
