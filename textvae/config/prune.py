"""Settings of the clean-up of a registry."""

from dataclasses import dataclass

from textvae.ranges import check_settings


@dataclass(frozen=True)
class PruneConfig:
    """Limits of what a prune removes; the champion, pinned and loaded versions always stay."""

    versions_kept: int = 5
    """Versions that served last, champion included, that stay for a rollback."""
    grace_days: float = 14.0
    """Days for which every version stays, whether it served or not."""
    runs_days: float = 7.0
    """Days without a write after which a training run is removed, finished or not."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        check_settings(self, "prune", ("versions_kept",), 1)
        check_settings(self, "prune", ("grace_days", "runs_days"), 0)
