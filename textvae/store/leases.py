"""Leases: who needs a version right now, and so who stands between it and a prune.

`registry/<model>/leases/<version>.<random>` is a file that its holder keeps locked: a server for
each version that it has loaded, a promoter while it promotes. The kernel frees the lock of a holder
that dies, so a lease can be left over but never left behind.
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
    """Inside, no prune removes version `name`. OSError where the registry cannot be written to."""
    folder = _folder(registry, model)
    with ExitStack() as held:
        for _ in range(_TRIES):
            path = folder / f"{name}.{uuid.uuid4().hex}"
            try:
                held.enter_context(locks.hold_lock(path, purpose))
            except BusyError:
                continue  # a prune looks at this very moment whether the new file is anybody's
            held.callback(path.unlink, missing_ok=True)
            break
        else:
            raise BusyError(f"{folder}: no lease of {name} is to be had; try again")
        yield


def lease_holders(registry: Path, model: str) -> dict[str, str]:
    """Who holds a lease of which version, in words; what the dead left is cleared away."""
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
    """Where the leases of a model lie."""
    return model_folder(registry, model) / "leases"
