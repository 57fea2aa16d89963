"""What a candidate is compared with: the champion, or the newest version that can be read."""

import logging
from pathlib import Path
from typing import NamedTuple

from textvae.engine.load import load_networks
from textvae.errors import CorruptError, InputError, NotFoundError
from textvae.release.gate import days_served
from textvae.store.promotions import Promotion, promoted_version, promotion_history
from textvae.store.versions import Version

log = logging.getLogger(__name__)

# Damaged, missing, or made for another textvae. A disk error is none of these: the job ends with 74
# and is tried again.
_UNREADABLE = (CorruptError, NotFoundError, InputError)


class BaselineVersion(NamedTuple):
    """The version that a candidate is compared with."""

    version: Version | None = None
    promoted_at: str = ""
    """When it began to serve."""
    unreadable: str = ""
    """That the champion cannot be read, in words; `version` served before it."""
    is_candidate: bool = False
    """The candidate is the champion, and there is no version to compare it with."""

    def days(self, now: str) -> float | None:
        """Return how many days it has served; None where that cannot be known."""
        return days_served(self.promoted_at, now)


def find_baseline(registry: Path, version: Version, promotion: Promotion | None) -> BaselineVersion:
    """Return the champion; where it cannot be read, the newest one before it that can.

    No server starts from a damaged champion, so that a candidate no worse than the last readable
    one is safer than to wait for an operator.
    """
    if promotion is None:
        return BaselineVersion()
    if promotion.version == version.name:
        return BaselineVersion(is_candidate=True)
    try:
        return BaselineVersion(_open_promoted(registry, version.model, promotion), promotion.at)
    except _UNREADABLE as error:
        problem = str(error).replace(f"{registry}/", "")
    unreadable = f"the champion {promotion.version} cannot be read any more: {problem}"
    log.error("%s", unreadable)
    tried = {promotion.version, version.name}
    for earlier in reversed(promotion_history(registry, version.model)):
        if earlier.version in tried:
            continue
        tried.add(earlier.version)
        try:
            opened = _open_promoted(registry, version.model, earlier)
        except _UNREADABLE as error:
            log.error("%s served before it and cannot be read either: %s", earlier.version, error)
            continue
        return BaselineVersion(opened, earlier.at, unreadable)
    return BaselineVersion(unreadable=unreadable)


def _open_promoted(registry: Path, model: str, promotion: Promotion) -> Version:
    """Return a version that served, with weights that this textvae can read."""
    version = promoted_version(registry, model, promotion)
    load_networks(version)
    return version
