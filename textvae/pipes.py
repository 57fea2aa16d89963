"""Output into a pipe whose reader has gone, as in `python -m jobs.train 2>&1 | head -1`."""

import io
import os
import sys
from typing import Any


def ignore_closed_pipes() -> None:
    """From here on, what stdout and stderr get after their reader has gone is discarded.

    The command does its work to the end and ends with its own exit code. A stream that is not the
    process's own, such as that of a test, stays as it is.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _reopen(stream))


class _Output(io.FileIO):
    """A file descriptor that becomes /dev/null when nobody reads its pipe any more."""

    def write(self, data: Any, /) -> int:
        """Write as FileIO does; data that nobody can read counts as written."""
        try:
            return super().write(data)
        except BrokenPipeError:
            # The descriptor itself, so that libraries in C and child processes lose nothing either.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return memoryview(data).nbytes


def _reopen(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a stream of the same descriptor and form that ignores a closed pipe."""
    stream.flush()
    raw = _Output(stream.fileno(), "w", closefd=False)
    # With PYTHONUNBUFFERED there is no buffer at all.
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
