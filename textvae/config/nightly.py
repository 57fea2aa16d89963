"""Settings of a night beside those of its jobs."""

from dataclasses import dataclass

from textvae.ranges import check_settings


@dataclass(frozen=True)
class NightConfig:
    """What a night asks of a version beside the gate, and whom it tells how it ended."""

    hook: str = ""
    """Command run at every end, good or bad, with the result's JSON on stdin; empty: none."""
    hook_timeout_s: float = 60.0
    """Seconds that the hook may take before it is killed."""
    ask_server: bool = True
    """Start a real server of the candidate on loopback and ask it everything before it serves."""
    start_timeout_s: float = 120.0
    """Seconds that this server may take to be ready."""
    answer_timeout_s: float = 10.0
    """Seconds that each of its answers may take."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        check_settings(
            self, "night", ("hook_timeout_s", "start_timeout_s", "answer_timeout_s"), 0.001
        )
