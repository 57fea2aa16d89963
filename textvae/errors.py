"""The expected errors, one class for each party that has to act.

Every message names the field or path, the limit, and the fix. `exit_code` is what a job ends with;
`serve/status.py` maps the same classes to gRPC status codes.
"""


class TextVaeError(Exception):
    """Base of every expected error; anything else that is raised is a bug of ours."""

    exit_code = 1


class InputError(TextVaeError):
    """A request field, setting or flag is outside its limits (exit 2, INVALID_ARGUMENT)."""

    exit_code = 2

    def __init__(self, field: str, problem: str) -> None:
        """`problem` names the limit, the value and, where it is not obvious, the fix."""
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class RejectedError(TextVaeError):
    """A version did not pass the gate, and promotion or --gate.strict insists on it (exit 3)."""

    exit_code = 3


class CollapsedError(TextVaeError):
    """The decoder ignores the latent: the posterior has collapsed (exit 4)."""

    exit_code = 4


class DataError(TextVaeError):
    """Text of the input breaks the data contract (exit 65)."""

    exit_code = 65


class NotFoundError(TextVaeError):
    """A file, registry, model or version is not there (exit 66, NOT_FOUND)."""

    exit_code = 66


class CorruptError(TextVaeError):
    """A file is there but is not what its manifest says (exit 66, never served)."""

    exit_code = 66


class VersionError(TextVaeError):
    """A latent belongs to another version than the one that serves (FAILED_PRECONDITION)."""

    exit_code = 2


class BusyError(TextVaeError):
    """Try again: a lock is taken, a champion moved, the engine is full (75, RESOURCE_EXHAUSTED)."""

    exit_code = 75

    def __init__(self, message: str, retry_s: float = 0.2, quota: str = "") -> None:
        """`retry_s`: seconds until it may go; `quota`: the name of the limit that was reached."""
        super().__init__(message)
        self.retry_s = retry_s
        self.quota = quota


class UnavailableError(TextVaeError):
    """No server answers in time: it is not there, loads or drains (exit 75, UNAVAILABLE)."""

    exit_code = 75
    is_there = False
    """Whether a server said so itself, which loads or drains: it, or its successor, will answer."""


class ExpiredError(TextVaeError):
    """The time that the caller gave was over before the answer (exit 75, DEADLINE_EXCEEDED)."""

    exit_code = 75


QUOTED_CHARACTERS_MAX = 100


def quoted(value: str) -> str:
    """Return what a caller sent as an error may quote it: its beginning, and how much follows."""
    more = len(value) - QUOTED_CHARACTERS_MAX
    if more <= 0:
        return value
    return f"{value[:QUOTED_CHARACTERS_MAX]}... ({more} characters more)"
