"""Locks of the kernel, named by a path: they end with the process that holds them.

Not in files.py, since a client writes files but has no filelock, and perhaps no fcntl.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from textvae import files
from textvae.errors import BusyError


@contextmanager
def hold_lock(path: Path, purpose: str) -> Iterator[None]:
    """Keep every other process and thread out of a block with the same `path`.

    Raises BusyError, which names the holder, where the lock is taken. The kernel frees the lock of
    a process that dies, so nothing is left to clean up.
    """
    files.make_folder(path.parent)
    holder = path.with_name(path.name + ".holder")
    # A block may be entered in one thread and left in another.
    lock = FileLock(path, blocking=False, fallback_to_soft=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        message = f"{path}: held by {lock_holder(path)}; try again when it has ended"
        raise BusyError(message) from None
    try:
        files.write_json(
            holder, {"pid": os.getpid(), "host": socket.gethostname(), "purpose": purpose}
        )
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether the lock is taken now; the call creates and changes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock_holder(path: Path) -> str:
    """Return who holds a lock, in words; the record may be a moment younger or older than it."""
    try:
        record = json.loads(path.with_name(path.name + ".holder").read_bytes())
    except FileNotFoundError:
        return "a process that is just starting or ending"
    return f"{record['purpose']} (pid {record['pid']} on {record['host']})"
