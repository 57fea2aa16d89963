"""Settings of what is kept when a registry is cleaned up."""

from dataclasses import dataclass

from textvae.ranges import check_settings


@dataclass(frozen=True)
class PruneConfig:
    """What a prune leaves, beside the champion, what is pinned, and what a server has loaded."""

    versions_kept: int = 5
    """Versions that served last and are kept to roll back to, the champion among them."""
    grace_days: float = 14.0
    """Versions younger than this stay, whether they served or not."""
    runs_days: float = 7.0
    """Training runs, finished or not, that nothing was written to for this long go."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        check_settings(self, "prune", ("versions_kept",), 1)
        check_settings(self, "prune", ("grace_days", "runs_days"), 0)
