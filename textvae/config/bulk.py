"""Settings of bulk jobs: tables in, tables out."""

from dataclasses import dataclass

from textvae.ranges import check_settings

WORKERS_MAX = 256


@dataclass(frozen=True)
class BulkConfig:
    """How a bulk job divides its input, and what it does about broken rows."""

    shard_rows: int = 2000
    """Rows of the input in each shard: what a killed job does again, at most, of each worker."""
    workers: int = 0
    """Processes that compute, each with an engine of its own; 0: one a core."""
    bad_share_max: float = 0.2
    """Share of rows without a result, 0 to 1, above which the job ends with 65."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        check_settings(self, "bulk", ("shard_rows",), 1, 1_000_000)
        check_settings(self, "bulk", ("workers",), 0, WORKERS_MAX)
        check_settings(self, "bulk", ("bad_share_max",), 0, 1)
