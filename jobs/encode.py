"""`python -m jobs.encode`: a table of sentences to a table of their vectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from textvae.config.bulk import BulkConfig
from textvae.config.data import StoreConfig
from textvae.config.serve import ServeConfig

from .command import run_job
from .progress import show_progress
from .tables import Files, run_task


@dataclass(frozen=True)
class Encode:
    """Encodes every row of a table: one vector a row, the mean of its posterior.

    Every other column passes through; a row without a vector says why in the column `error`. Cut
    off at any point, the same command goes on and ends with the same bytes.
    """

    input: tuple[Path, ...]
    """Files, folders or globs of .txt, .jsonl, .json, .csv, .tsv or .parquet, packed or not."""
    output: Path
    """A .parquet, .jsonl or .csv, or a folder of shards."""
    version: str = ""
    """Name of the version, or champion, or newest; empty: the newest."""
    format: Literal["", "parquet", "jsonl", "csv"] = ""
    """Format of the output; empty: as its name ends, Parquet for a folder."""
    text_column: str = "text"
    """Column of the sentence."""
    id_column: str = ""
    """Column of the row's own id, which then stands beside its number."""
    delimiter: str = ""
    """Character between the fields of .csv and .tsv; empty: comma and tab."""
    columns: tuple[str, ...] = ()
    """Columns of the output, in order, as NAME or NAME=AS; none: all of them."""
    deviations: bool = False
    """Write the column `logvar` too, the log-variances of the posterior."""
    drop_errors: bool = False
    """Leave rows without a vector out; the report counts them."""
    shard: str = "0/1"
    """Part of the shards to do, I/N with I from 0, such as $JOB_COMPLETION_INDEX/8."""
    store: StoreConfig = StoreConfig()
    serve: ServeConfig = ServeConfig()
    bulk: BulkConfig = BulkConfig()


def main(settings: Encode) -> dict[str, Any]:
    """Return outcome `done`, `part` or `up_to_date`, with the report."""
    from textvae.bulk.tasks import Asked

    asked = Asked("encode", deviations=settings.deviations)
    paths = Files(
        settings.input,
        settings.output,
        settings.format,
        "parquet",
        settings.text_column,
        id_column=settings.id_column,
        delimiter=settings.delimiter,
        columns=settings.columns,
        drop_errors=settings.drop_errors,
        shard=settings.shard,
    )
    with show_progress() as on_progress:
        return run_task(asked, paths, settings, on_progress)


if __name__ == "__main__":
    run_job("encode", Encode, main)
