"""A bulk job before it begins: whose output it makes, and what it is asked for of this input."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.bulk.choice import Quota, quotas_of, wanted_of
from textvae.bulk.formats import Column, Format, chosen_columns
from textvae.bulk.inputs import Reading
from textvae.bulk.output import Output, Part, folder_of
from textvae.bulk.rows import InputRow, Table
from textvae.bulk.tasks import TASKS, Asked
from textvae.bulk.workers import Start
from textvae.config.bulk import BulkConfig
from textvae.errors import DataError, InputError
from textvae.store.versions import Version

LAYOUT = 1
"""Of the files of an output: another number is another identity."""


class Job(NamedTuple):
    """A bulk job."""

    reading: Reading
    output: Path
    form: Format
    columns: tuple[str, ...]
    """NAME or NAME=AS; none for all."""
    keep_errors: bool
    """Whether a row without a result is a row of the output, with the reason."""
    asked: Asked
    version: Version
    start: Start
    config: BulkConfig
    part: Part


class Known(NamedTuple):
    """What a job knows once it has read its input."""

    table: Table
    columns: list[Column]
    quotas: dict[str, Quota]
    output: Output
    footer: dict[str, Any]
    """What every shard carries of its identity, and the width of its vectors."""


def identity_of(job: Job, hashes: list[str]) -> dict[str, Any]:
    """Return all that decides the bytes of an output."""
    asked = {
        name: value._asdict() if hasattr(value, "_asdict") else value
        for name, value in vars(job.asked).items()
        if name != "seed"
    }
    asked["fluency_max"] = str(job.asked.fluency_max)
    config = job.reading.config
    asked |= {
        "id_column": job.reading.id_column,
        "text_column": config.text_column,
        "label_column": config.label_column,
        "group_column": config.group_column,
        "delimiter": config.delimiter,
        "rows": job.reading.rows,
        "columns": list(job.columns),
        "errors": job.keep_errors,
        "format": job.form,
        "shard_rows": job.config.shard_rows,
        "characters_max": config.characters_max,
        "tokens_max": job.start.serve.tokens_max,
        "precision": job.start.serve.precision,
    }
    paths = job.reading.paths
    return {
        "layout": LAYOUT,
        "version": job.version.name,
        "seed": job.asked.seed,
        "settings": asked,
        "input": [
            {"name": path.name, "sha256": one} for path, one in zip(paths, hashes, strict=True)
        ],
    }


def known_of(job: Job, table: Table, identity: dict[str, Any]) -> Known:
    """Check what the job is asked for against its input."""
    if not table.rows:
        raise DataError("--input: holds no row; at least one is needed")
    digest = hashlib.sha256(files.canonical_json(identity)).hexdigest()
    task = TASKS[job.asked.task]
    folder, file = folder_of(job.output)
    shards = -(-table.rows // job.config.shard_rows)
    output = Output(folder, file, job.form, shards, digest, not task.chooses)
    columns = chosen_columns(_kinds(job, table), job.columns)
    settings = json.dumps(identity["settings"], sort_keys=True).encode()
    footer = {
        "version": job.version.name,
        "settings": hashlib.sha256(settings).hexdigest(),
        "seed": job.asked.seed,
        "input": hashlib.sha256(files.canonical_json(identity["input"])).hexdigest(),
        "latent": int(job.version.manifest["model_config"]["latent"]),
    }
    quotas = quotas_of(job.asked, table)
    wanted = [wanted_of(InputRow(0, "", name, name), job.asked, quotas) for name in quotas]
    most = max(wanted, default=0)
    limit = job.start.serve.count_max
    if most > limit:
        raise InputError(
            "per_label" if job.asked.per_label else "per_group",
            f"asks a row for {most} variations, at most {limit} (serve.count_max); ask for fewer, "
            "or give more rows",
        )
    return Known(table, columns, quotas, output, footer)


def _kinds(job: Job, table: Table) -> dict[str, str]:
    """Return the kind of each column of the output, in its order.

    Raises InputError where a column of the input has the name of one of the job's.
    """
    task, config, asked = TASKS[job.asked.task], job.reading.config, job.asked
    own = {name: kind for name, kind in task.columns.items() if name != "logvar"}
    if asked.deviations:
        own["logvar"] = task.columns["logvar"]
    consumed = {config.text_column, asked.target_column}
    if "label" in own and (config.label_column or "label") == "label":
        consumed.add("label")
    passed = {name: kind for name, kind in table.columns.items() if name not in consumed}
    clashes = sorted(set(passed) & {*own, "row", "error"})
    if clashes:
        raise InputError(
            "input",
            f"has the columns {', '.join(clashes)}, which the output has too; rename them",
        )
    id_column = job.reading.id_column
    first = {id_column: passed.pop(id_column)} if id_column in passed else {}
    return {"row": "int", **first, **passed, **own, "error": "str"}
