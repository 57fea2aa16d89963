"""Versions verified once: GetModel hashes a version's files again only where they have changed."""

import asyncio
import threading
from pathlib import Path
from typing import NamedTuple

from textvae.errors import NotFoundError, quoted
from textvae.store import versions
from textvae.store.versions import Version

VERSIONS_MAX = 64
"""Verified versions that are remembered."""
_HASHINGS_MAX = 1
"""Versions hashed at the same time, so that many callers do not take all cores."""


class _FileState(NamedTuple):
    """What changes when a file does."""

    name: str
    inode: int
    bytes: int
    changed_ns: int


class VerifiedVersions:
    """The versions of a registry, each verified when it is first opened and after any change."""

    def __init__(self, registry: Path) -> None:
        self._registry = registry
        self._verified: dict[Path, tuple[frozenset[_FileState], Version]] = {}
        self._hashing = threading.Semaphore(_HASHINGS_MAX)

    async def open(self, model: str, name: str) -> Version:
        """Return a verified version; raises as `open_version`, in a thread for the disk's sake."""
        return await asyncio.to_thread(self._open, model, name)

    def _open(self, model: str, name: str) -> Version:
        """Return a version that was verified in its present state, or verify it."""
        if not versions.VERSION_NAME.fullmatch(name):
            raise NotFoundError(f"{model}: no version {quoted(name)}")
        folder = versions.model_folder(self._registry, model) / "versions" / name
        if known := self._known(folder):
            return known
        with self._hashing:
            # Another caller may have verified it meanwhile.
            if known := self._known(folder):
                return known
            state = _state_of(folder)
            version = versions.open_version(self._registry, model, name)
            if len(self._verified) >= VERSIONS_MAX:
                self._verified.pop(next(iter(self._verified)))
            self._verified[version.folder] = state, version
            return version

    def _known(self, folder: Path) -> Version | None:
        """Return the version in `folder` if it was verified in the state it has now."""
        state, version = self._verified.get(folder, (None, None))
        return version if state is not None and state == _state_of(folder) else None


def _state_of(folder: Path) -> frozenset[_FileState]:
    """Return the state of a version's files; empty where it has none."""
    if not folder.is_dir():
        return frozenset()
    stats = [(path.name, path.lstat()) for path in folder.iterdir()]
    return frozenset(
        _FileState(name, stat.st_ino, stat.st_size, stat.st_ctime_ns) for name, stat in stats
    )
