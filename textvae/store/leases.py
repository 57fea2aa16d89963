"""Leases: the processes that need a version now, which no prune may remove.

`registry/<model>/leases/<version>.<random>` is a file that a process keeps locked: a server for
each version that it has loaded, a promoter while it promotes. The kernel frees the lock of a
process that dies, so a file that is left over is no lease.
"""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from textvae import locks
from textvae.errors import BusyError
from textvae.store.versions import model_folder

_TRIES = 100


@contextmanager
def hold_lease(registry: Path, model: str, name: str, purpose: str) -> Iterator[None]:
    """Keep prunes from removing version `name`. OSError where the registry is not writable."""
    folder = _folder(registry, model)
    with ExitStack() as stack:
        for _ in range(_TRIES):
            path = folder / f"{name}.{uuid.uuid4().hex}"
            try:
                stack.enter_context(locks.hold_lock(path, purpose))
            except BusyError:
                continue  # a prune is testing the lock of the new file at this moment
            stack.callback(path.unlink, missing_ok=True)
            break
        else:
            raise BusyError(f"{folder}: no lease of {name} could be taken; try again")
        yield


def lease_holders(registry: Path, model: str) -> dict[str, str]:
    """Return who holds a lease of which version, in words; remove the files of dead processes."""
    folder, holders = _folder(registry, model), {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith(".") or path.suffix == ".holder":
            continue
        if locks.is_locked(path):
            holders[path.name.partition(".")[0]] = locks.lock_holder(path)
        else:
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".holder").unlink(missing_ok=True)
    return holders


def _folder(registry: Path, model: str) -> Path:
    """Return the folder of a model's leases."""
    return model_folder(registry, model) / "leases"
