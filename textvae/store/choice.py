"""Which version is meant: a name, or a word for one."""

import logging
from pathlib import Path

from textvae.errors import NotFoundError
from textvae.installation import job_command
from textvae.store.promotions import champion
from textvae.store.versions import Version, list_versions, open_version

log = logging.getLogger(__name__)

NEWEST, CHAMPION = WORDS = ("newest", "champion")
"""Words that stand for a version."""


def choose_version(registry: Path, model: str, wanted: str = "") -> Version:
    """Return the version of this name, verified, and name it in the log: `champion` is the one that
    serves, `newest` (or nothing) the last one that was published.

    Raises NotFoundError, which names those that there are, and CorruptError.
    """
    version = _choose(registry, model, wanted)
    log.info("version %s of %s (%s)", version.name, model, wanted or NEWEST)
    return version


def _choose(registry: Path, model: str, wanted: str) -> Version:
    """Do as `choose_version`, without the log."""
    if wanted == CHAMPION:
        return champion(registry, model)
    if wanted not in ("", NEWEST):
        return open_version(registry, model, wanted)
    names = list_versions(registry, model)
    if not names:
        raise NotFoundError(f"{registry}: no version of {model}; {job_command('train')}")
    return open_version(registry, model, names[0])
