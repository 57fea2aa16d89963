"""Promotions: which version serves, who decided it and why, as a log that only grows.

`registry/<model>/promotions/000124.json` is the record, and the highest number is in force. A
number is taken by a hard link, which only one process can make: of two that were compared with the
same champion the second gets a BusyError. A rollback is one more promotion. Each record contains
the SHA-256 of its content. The symbolic link `champion` next to the log is for people; nothing here
reads it.
"""

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import NamedTuple

from textvae import files
from textvae.errors import BusyError, CorruptError, InputError, NotFoundError
from textvae.installation import job_command
from textvae.sealed import corrupt
from textvae.store.leases import hold_lease
from textvae.store.versions import Version, list_versions, model_folder, open_version

_log = logging.getLogger(__name__)

_RECORD = re.compile(r"[0-9]{6}\.json|[1-9][0-9]{6,}\.json")
_ROLLBACK = "rollback: "
"""How the reason of a rollback begins, and of no other promotion."""
RECORD_BYTES_MAX = 1 << 20
"""More is no record, and is not read into memory."""


class _LogState(NamedTuple):
    """The state of a log at the last read of this process."""

    number: int
    changed_ns: int
    """The modification time of its folder."""


_log_states: dict[Path, _LogState] = {}
"""By folder: a hint for the next read and never an answer, so threads may share it."""


class Promotion(NamedTuple):
    """One line of the log."""

    number: int
    """Counts from 1."""
    version: str
    manifest_sha256: str
    previous: str
    """The version that served before; empty for the first."""
    reason: str
    actor: str
    at: str
    """Time in UTC, such as 2026-11-23T02:15:00Z."""


def current_promotion(registry: Path, model: str) -> Promotion | None:
    """Return the promotion in force, or None where nothing was promoted yet."""
    number = _newest(registry, model)
    return read_promotion(registry, model, number) if number else None


def promotion_history(registry: Path, model: str) -> list[Promotion]:
    """Return all promotions, oldest first; CorruptError where one is damaged or missing."""
    log = [read_promotion(registry, model, number) for number in promotion_numbers(registry, model)]
    for number, promotion in enumerate(log, 1):
        if promotion.number != number:
            raise CorruptError(
                f"{_path(registry, model, number)}: is missing, there are later ones; "
                "restore it from a copy"
            )
    return log


def champion(registry: Path, model: str) -> Version:
    """Return the version that serves, verified; NotFoundError says how to make one."""
    promotion = current_promotion(registry, model)
    if promotion is None:
        names = list_versions(registry, model)
        promote = f"{job_command('promote')} --version {names[0]}" if names else ""
        job = promote or job_command("nightly")
        raise NotFoundError(f"{model_folder(registry, model)}: no champion; {job} makes one")
    return promoted_version(registry, model, promotion)


def promoted_version(registry: Path, model: str, promotion: Promotion) -> Version:
    """Return the version of a promotion, verified; CorruptError where it is another."""
    version = open_version(registry, model, promotion.version)
    if version.manifest_sha256 != promotion.manifest_sha256:
        raise corrupt(version.folder, f"is not the {version.name} that was promoted")
    return version


def promote(
    registry: Path, model: str, version: Version, *, expected: int, reason: str, actor: str, at: str
) -> Promotion:
    """Make `version` serve if promotion `expected` is still in force; return the promotion.

    `expected` is the number of the promotion whose champion `version` was compared with, 0 for
    none. Raises BusyError, which names the new champion, where another promotion came first, since
    `version` was never compared with that one; InputError for the reason of a rollback.
    """
    if reason.startswith(_ROLLBACK):
        problem = f"must not begin with {_ROLLBACK!r}, which marks what python -m jobs.rollback did"
        raise InputError("reason", f"{problem}; say it in other words")
    return _promote_leased(registry, model, version, expected, reason, actor, at)


def _promote_leased(
    registry: Path, model: str, version: Version, expected: int, reason: str, actor: str, at: str
) -> Promotion:
    """Do as `promote`, for any reason."""
    assert version.model == model, f"{version.name} is of {version.model}, not of {model}"
    # Against a prune that found this version unneeded a moment ago.
    with hold_lease(registry, model, version.name, "promote"):
        if not version.folder.is_dir():
            raise NotFoundError(f"{version.folder}: was removed; promote another version")
        return _promote(registry, model, version, expected, reason, actor, at)


def _promote(
    registry: Path, model: str, version: Version, expected: int, reason: str, actor: str, at: str
) -> Promotion:
    """Do as `promote`, for a version that has a lease."""
    before = current_promotion(registry, model)
    promotion = Promotion(
        number=expected + 1,
        version=version.name,
        manifest_sha256=version.manifest_sha256,
        previous=before.version if before else "",
        reason=reason,
        actor=actor,
        at=at,
    )
    moved = (before.number if before else 0) != expected
    record = {**promotion._asdict(), "sha256": _sha256(promotion)}
    path = _path(registry, model, promotion.number)
    if moved or not files.create_by_link(path, files.canonical_json(record)):
        now = current_promotion(registry, model)
        serves = f"{now.version} serves by promotion {now.number}" if now else "none serves"
        raise BusyError(
            f"{model}: the champion moved since promotion {expected}: {serves}, so {version.name} "
            "was not promoted; evaluate it against the new champion and promote again"
        )
    try:
        point_champion(registry, model)
    except OSError as error:
        # It serves: whoever promoted must not take it for a failure, nor try again.
        _log.warning("%s serves, but the link `champion` is not renewed: %s", version.name, error)
    return promotion


def rollback(
    registry: Path, model: str, *, reason: str, actor: str, at: str, to: str = ""
) -> Promotion:
    """Promote an earlier champion again, by default the one that served before.

    The version is verified first. Raises InputError where there is none to go back to, or where
    `to` serves already or never did; BusyError where a promotion came in between.
    """
    promotions = promotion_history(registry, model)
    path = rollback_path(promotions)
    if len(path) < 2 and not to:
        raise InputError("to", f"{model} has no earlier champion to go back to; promote a version")
    name = to or path[-2]
    served = {promotion.version for promotion in promotions}
    if name not in served:
        raise InputError("to", f"{name} never served; {job_command('promote')} is for what is new")
    if name == path[-1]:
        raise InputError("to", f"{name} serves already")
    version, number = open_version(registry, model, name), promotions[-1].number
    return _promote_leased(registry, model, version, number, f"{_ROLLBACK}{reason}", actor, at)


def rollback_path(promotions: list[Promotion]) -> list[str]:
    """Return the versions that led to the present one, which is last.

    A rollback drops what came after the version it returns to, so that two rollbacks go two
    versions back and never return to the one that was rejected. A version that is promoted again
    comes after what served meanwhile.
    """
    path: list[str] = []
    for promotion in promotions:
        version = promotion.version
        if promotion.reason.startswith(_ROLLBACK) and version in path:
            while path[-1] != version:
                path.pop()
        elif path[-1:] != [version]:
            path.append(version)
    return path


def point_champion(registry: Path, model: str) -> None:
    """Point the link to the promotion in force, whichever of several promoters writes it last."""
    linked = None
    while (promotion := current_promotion(registry, model)) and promotion.number != linked:
        files.point_link(
            model_folder(registry, model) / "champion", f"versions/{promotion.version}"
        )
        linked = promotion.number


def read_promotion(registry: Path, model: str, number: int) -> Promotion:
    """Read one promotion; CorruptError where its file is damaged."""
    path = _path(registry, model, number)
    try:
        is_small = path.is_file() and path.stat().st_size <= RECORD_BYTES_MAX
        record = json.loads(path.read_bytes() if is_small else b"")
        sha256 = record.pop("sha256")
        promotion = Promotion(**record)
        valid = promotion.number == number and sha256 == _sha256(promotion)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        valid = False
    if not valid:
        raise CorruptError(
            f"{path}: is not promotion {number}; restore it from a copy, "
            "or remove it to go back to the promotion before"
        )
    return promotion


def _sha256(promotion: Promotion) -> str:
    """Return the SHA-256 of a record's content."""
    return hashlib.sha256(files.canonical_json(promotion._asdict())).hexdigest()


def _newest(registry: Path, model: str) -> int:
    """Return the highest number of the log, 0 where it is empty.

    Numbers are consecutive, so a process that has read the log before goes on from there instead of
    listing a folder of thousands. Where that does not explain why the folder changed (a record was
    removed by hand, a copy was put back) the log is listed after all.
    """
    folder = _folder(registry, model)
    # False also for a link that leads nowhere, or to itself.
    if not folder.is_dir():
        return 0
    # Read before the records, so that no later change is taken for one that was seen.
    changed_ns = folder.stat().st_mtime_ns
    last = _log_states.get(folder, _LogState(0, 0))
    number = last.number
    while number and _path(registry, model, number + 1).exists():
        number += 1
    explained = number > last.number or changed_ns == last.changed_ns
    if not number or not explained or not _path(registry, model, number).exists():
        number = max(promotion_numbers(registry, model), default=0)
    _log_states[folder] = _LogState(number, changed_ns)
    return number


def promotion_numbers(registry: Path, model: str) -> list[int]:
    """Return the numbers of all promotions of a model, ascending, without reading them."""
    folder = _folder(registry, model)
    if not folder.is_dir():
        return []
    return sorted(int(path.stem) for path in folder.iterdir() if _RECORD.fullmatch(path.name))


def _path(registry: Path, model: str, number: int) -> Path:
    """Return the file of one promotion."""
    return _folder(registry, model) / f"{number:06d}.json"


def _folder(registry: Path, model: str) -> Path:
    """Return the folder of a model's log."""
    return model_folder(registry, model) / "promotions"
