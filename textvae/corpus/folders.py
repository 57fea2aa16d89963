"""The files of a folder of text, and in words what is not read of it."""

import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from textvae.corpus.readers import has_reader
from textvae.errors import DataError

HIDDEN, NO_READER, SPECIAL, AGAIN = (
    "hidden files and folders",
    "files have no reader",
    "are no files, but devices, pipes or sockets",
    "folders that were reached before, by another link",
)

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """A file to read."""

    path: Path
    problem: str = ""
    """Why it cannot be read; of a folder, for all that is in it."""


def files_of(path: Path) -> list[Found]:
    """Return the file itself, or the visible files below a folder that have a reader, by name.

    Names that begin with a dot are left out, with all that is below them; links are followed, each
    folder once. What cannot be read has its problem; what else is left out is counted in the log.
    Raises DataError for a folder that the settings name and that cannot be read.
    """
    if not path.is_dir():
        return [Found(path)]
    left_out: Counter[str] = Counter()
    found = sorted(_walk(path, {_identity(path)}, left_out))
    unread = next((one for one in found if one.path == path), None)
    if unread:
        raise DataError(f"{path}: {unread.problem}")
    for reason, count in left_out.items():
        logger.warning("%s: left out: %d %s", path, count, reason)
    return found


def _walk(folder: Path, seen: set[tuple[int, int]], left_out: Counter[str]) -> Iterator[Found]:
    """Yield what is below a folder; `seen` are the folders that were reached before."""
    try:
        with os.scandir(folder) as entries:
            paths = sorted(Path(entry.path) for entry in entries)
    except OSError as error:
        yield Found(folder, f"cannot be read: {error.strerror or error}")
        return
    # Real folders before links to them: text has the name that it stands under.
    for path in sorted(paths, key=Path.is_symlink):
        if path.name.startswith("."):
            left_out[HIDDEN] += 1
            continue
        try:
            status = path.stat()
        except OSError as error:
            what = "is a link that leads nowhere" if path.is_symlink() else "cannot be read"
            yield Found(path, f"{what}: {error.strerror or error}")
            continue
        if stat.S_ISDIR(status.st_mode):
            if _identity(path) in seen:
                left_out[AGAIN] += 1
                continue
            seen.add(_identity(path))
            yield from _walk(path, seen, left_out)
        elif not stat.S_ISREG(status.st_mode):
            left_out[SPECIAL] += 1
        elif has_reader(path):
            yield Found(path)
        else:
            left_out[NO_READER] += 1


def _identity(path: Path) -> tuple[int, int]:
    """Return what a folder is known by, whatever link leads to it."""
    status = path.stat()
    return status.st_dev, status.st_ino
