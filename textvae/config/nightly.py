"""Settings of the nightly run, in addition to those of its jobs."""

from dataclasses import dataclass

from textvae.config.commands import check_command
from textvae.ranges import check_settings


@dataclass(frozen=True)
class NightlyConfig:
    """The nightly run's check of a version on a real server, and the hook that gets its result."""

    hook: str = ""
    """Program and arguments to run after success and failure, with the result's JSON on stdin, such
    as `sh tell.sh`; empty: none. It is no line of a shell: `sh -c 'cat >> results.jsonl'` is."""
    hook_timeout_s: float = 60.0
    """Seconds that the hook may take before it is killed."""
    ask_server: bool = True
    """Start a server of the candidate on loopback and call every method before it is promoted."""
    start_timeout_s: float = 120.0
    """Seconds that this server may take to become ready."""
    answer_timeout_s: float = 10.0
    """Seconds that each of its responses may take."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range, and for a hook that needs a shell."""
        check_command("night.hook", self.hook)
        check_settings(
            self, "night", ("hook_timeout_s", "start_timeout_s", "answer_timeout_s"), 0.001
        )
