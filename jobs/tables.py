"""What the jobs from table to table share: files, columns, parts."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from textvae.config.bulk import BulkConfig
from textvae.config.data import DataConfig, StoreConfig
from textvae.config.serve import ServeConfig
from textvae.errors import InputError
from textvae.progress import ProgressCallback

if TYPE_CHECKING:
    from textvae.bulk.formats import Format
    from textvae.bulk.output import Part
    from textvae.bulk.tasks import Asked


class Files(NamedTuple):
    """Where rows come from and where they go."""

    input: tuple[Path, ...]
    output: Path
    format: str
    format_default: "Format"
    text_column: str
    label_column: str = ""
    group_column: str = ""
    id_column: str = ""
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    drop_errors: bool = False
    shard: str = "0/1"
    rows: int = 0
    """Of a task without an input."""


class Settings(Protocol):
    """The settings that every such job has."""

    @property
    def version(self) -> str:
        """The version."""

    @property
    def store(self) -> StoreConfig:
        """The registry."""

    @property
    def serve(self) -> ServeConfig:
        """The engine."""

    @property
    def bulk(self) -> BulkConfig:
        """The shards."""


def run_task(
    asked: "Asked", paths: Files, settings: Settings, on_progress: ProgressCallback
) -> dict[str, Any]:
    """Run a task on every row of the input."""
    from textvae.bulk.formats import format_of
    from textvae.bulk.inputs import reading_of
    from textvae.bulk.plan import Job
    from textvae.bulk.run import run_bulk
    from textvae.bulk.workers import Start
    from textvae.store.choice import choose_version

    store, serve = settings.store, settings.serve
    part = part_of(paths.shard)
    form = format_of(paths.output, paths.format, paths.format_default)
    config = DataConfig(
        delimiter=paths.delimiter,
        text_column=paths.text_column,
        label_column=paths.label_column,
        group_column=paths.group_column,
        characters_max=serve.characters_max,
    )
    reading = reading_of(paths.input, config, paths.id_column, paths.rows)
    version = choose_version(store.registry, store.model, settings.version)
    start = Start(store.registry, store.model, version.name, serve)
    job = Job(
        reading,
        paths.output,
        form,
        paths.columns,
        not paths.drop_errors,
        asked,
        version,
        start,
        settings.bulk,
        part,
    )
    return run_bulk(job, on_progress)


def part_of(shard: str) -> "Part":
    """Return the part that I/N names; raise InputError where it is none."""
    from textvae.bulk.output import Part

    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard.strip())
    if not match or not int(match[1]) < int(match[2]):
        raise InputError("shard", f"must be I/N with I from 0 to N - 1, as in 0/8, got {shard!r}")
    return Part(int(match[1]), int(match[2]))
