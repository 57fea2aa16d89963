"""Output into a pipe whose reader has gone, as in `python -m jobs.train 2>&1 | head -1`."""

import io
import os
import sys
from typing import Any


def ignore_closed_pipes(*, is_job: bool = False) -> None:
    """From here on, what stdout and stderr get after their reader has gone is discarded.

    So is what stderr gets on a full disk and, for a job, whose result is in a file too, what stdout
    gets. The command does its work to the end and ends with its own exit code. A stream that is
    not the process's own, such as that of a test, stays as it is. A standard descriptor that is
    closed becomes /dev/null, so that no file that is opened later takes its number.
    """
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):
            ignored = OSError if is_job or name == "stderr" else BrokenPipeError
            setattr(sys, name, _reopen(stream, ignored))


def discard_stdout() -> None:
    """From here on, discard what stdout gets and what it still holds, which cannot be written.

    Only the process's own, after `ignore_closed_pipes`.
    """
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if isinstance(raw, _Output):
        _discard(raw.fileno())


def is_stdout_discarded() -> bool:
    """Return whether the reader of stdout has gone, after `ignore_closed_pipes`."""
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return isinstance(raw, _Output) and raw.is_discarded


def _open_if_closed(descriptor: int) -> None:
    """Open /dev/null at a closed descriptor; the lower ones are open."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)
        os.set_inheritable(descriptor, True)


def _discard(descriptor: int) -> None:
    """Turn the descriptor into /dev/null."""
    # The descriptor itself, so that libraries in C and child processes lose nothing either.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


class _Output(io.FileIO):
    """A file descriptor that becomes /dev/null when it cannot be written any more."""

    def __init__(self, descriptor: int, ignored: type[OSError]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._ignored = ignored
        self.is_discarded = False

    def write(self, data: Any, /) -> int:
        """Write as FileIO does; data that nobody can read counts as written."""
        try:
            return super().write(data)
        except self._ignored as error:
            _discard(self.fileno())
            self.is_discarded = True
            if self.fileno() == 1 and sys.stderr and not isinstance(error, BrokenPipeError):
                # What a person must know, on the one stream that is left.
                sys.stderr.write(f"stdout cannot be written: {error.strerror or error}\n")
            return memoryview(data).nbytes


def _reopen(stream: io.TextIOWrapper, ignored: type[OSError]) -> io.TextIOWrapper:
    """Return a stream of the same descriptor and form that ignores these errors."""
    stream.flush()
    raw = _Output(stream.fileno(), ignored)
    # With PYTHONUNBUFFERED there is no buffer at all.
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
