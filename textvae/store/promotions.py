"""Promotions: which version serves, who decided it and why, as a log that only ever grows.

`registry/<model>/promotions/000124.json` is the truth, and the highest number wins. A number is
taken by a hard link, which one process alone can make: of two that judged against the same champion
the second is told that the champion has moved. A rollback is one more promotion. Each record ends
in the SHA-256 of what it says. The symbolic link `champion` beside the log is for people; nothing
here reads it.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

from textvae import files
from textvae.errors import BusyError, CorruptError, InputError, NotFoundError
from textvae.sealed import corrupt
from textvae.store.leases import hold_lease
from textvae.store.versions import Version, list_versions, model_folder, open_version

_RECORD = re.compile(r"[0-9]{6}\.json|[1-9][0-9]{6,}\.json")
RECORD_BYTES_MAX = 1 << 20
"""More is no record, and is not read into memory."""


class _Seen(NamedTuple):
    """What a log was when this process looked last."""

    number: int
    changed_ns: int
    """When its folder had changed last."""


_seen: dict[Path, _Seen] = {}
"""By folder: a hint for the next look and never an answer, so threads may share it."""


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
    """When, in UTC, as 2026-11-23T02:15:00Z."""


def current_promotion(registry: Path, model: str) -> Promotion | None:
    """The promotion in force, or None where nothing was promoted yet."""
    number = _newest(registry, model)
    return read_promotion(registry, model, number) if number else None


def promotion_history(registry: Path, model: str) -> list[Promotion]:
    """All promotions of a model, oldest first; CorruptError where one is damaged or missing."""
    log = [read_promotion(registry, model, number) for number in promotion_numbers(registry, model)]
    for number, promotion in enumerate(log, 1):
        if promotion.number != number:
            raise CorruptError(
                f"{_path(registry, model, number)}: is missing, there are later ones; "
                "restore it from a copy"
            )
    return log


def champion(registry: Path, model: str) -> Version:
    """The version that serves, verified; NotFoundError says how to make one."""
    promotion = current_promotion(registry, model)
    if promotion is None:
        names = list_versions(registry, model)
        make = f"python -m jobs.promote --version {names[0]}" if names else "python -m jobs.nightly"
        raise NotFoundError(f"{model_folder(registry, model)}: no champion; {make} makes one")
    return promoted_version(registry, model, promotion)


def promoted_version(registry: Path, model: str, promotion: Promotion) -> Version:
    """The version of a promotion, verified; CorruptError where it is not the one promoted."""
    version = open_version(registry, model, promotion.version)
    if version.manifest_sha256 != promotion.manifest_sha256:
        raise corrupt(version.folder, f"is not the {version.name} that was promoted")
    return version


def promote(
    registry: Path, model: str, version: Version, *, expected: int, reason: str, actor: str, at: str
) -> Promotion:
    """The promotion that makes `version` serve, if promotion `expected` is still in force.

    `expected` is the number that `version` was judged against, 0 for none. BusyError where another
    promotion came first, since `version` was then never compared with what serves now; it names
    the champion that does.
    """
    assert version.model == model, f"{version.name} is of {version.model}, not of {model}"
    # Against a prune that found nobody in need of this version a moment ago.
    with hold_lease(registry, model, version.name, "promote"):
        if not version.folder.is_dir():
            raise NotFoundError(f"{version.folder}: was removed; promote another version")
        return _promote(registry, model, version, expected, reason, actor, at)


def _promote(
    registry: Path, model: str, version: Version, expected: int, reason: str, actor: str, at: str
) -> Promotion:
    """`promote`, of a version that nobody removes meanwhile."""
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
    point_champion(registry, model)
    return promotion


def rollback(
    registry: Path, model: str, *, reason: str, actor: str, at: str, to: str = ""
) -> Promotion:
    """The promotion that puts an earlier champion back, by default the one that served before.

    The version is verified first. InputError where there is nothing to go back to, or where `to`
    serves already or never did; BusyError where a promotion came in between.
    """
    promotions = promotion_history(registry, model)
    way = rollback_path(promotions)
    if len(way) < 2 and not to:
        raise InputError("to", f"{model} has no earlier champion to go back to; promote a version")
    name = to or way[-2]
    served = {promotion.version for promotion in promotions}
    if name not in served:
        raise InputError("to", f"{name} never served; python -m jobs.promote is for what is new")
    if name == way[-1]:
        raise InputError("to", f"{name} serves already")
    return promote(
        registry,
        model,
        open_version(registry, model, name),
        expected=promotions[-1].number,
        reason=reason,
        actor=actor,
        at=at,
    )


def rollback_path(promotions: list[Promotion]) -> list[str]:
    """The versions that led to the present one, which is last.

    Coming back to a version forgets what came after it, so that rolling back twice goes two
    versions back and never returns to the one that was found wanting.
    """
    way: list[str] = []
    for promotion in promotions:
        if promotion.version in way:
            del way[way.index(promotion.version) + 1 :]
        else:
            way.append(promotion.version)
    return way


def point_champion(registry: Path, model: str) -> None:
    """The link shows the promotion in force, whichever of several promoters writes it last."""
    shown = None
    while (promotion := current_promotion(registry, model)) and promotion.number != shown:
        files.point_link(
            model_folder(registry, model) / "champion", f"versions/{promotion.version}"
        )
        shown = promotion.number


def read_promotion(registry: Path, model: str, number: int) -> Promotion:
    """One promotion; CorruptError where its file was damaged."""
    path = _path(registry, model, number)
    try:
        plain = path.is_file() and path.stat().st_size <= RECORD_BYTES_MAX
        record = json.loads(path.read_bytes() if plain else b"")
        told = record.pop("sha256")
        promotion = Promotion(**record)
        whole = promotion.number == number and told == _sha256(promotion)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise CorruptError(
            f"{path}: is not promotion {number}; restore it from a copy, "
            "or remove it to go back to the promotion before"
        )
    return promotion


def _sha256(promotion: Promotion) -> str:
    """Of what a record says."""
    return hashlib.sha256(files.canonical_json(promotion._asdict())).hexdigest()


def _newest(registry: Path, model: str) -> int:
    """The highest number of the log, 0 where it has none.

    Promoters add one number after another, so whoever looked before goes on from there instead of
    listing a folder of thousands. Where that does not explain why the folder changed (a record was
    removed by hand, a copy was put back) the log is listed after all.
    """
    folder = _folder(registry, model)
    # False also for a link that leads nowhere, or to itself.
    if not folder.is_dir():
        return 0
    # Before the records, so that no change after this look is taken for one that it saw.
    changed_ns = folder.stat().st_mtime_ns
    seen = _seen.get(folder, _Seen(0, 0))
    number = seen.number
    while number and _path(registry, model, number + 1).exists():
        number += 1
    explained = number > seen.number or changed_ns == seen.changed_ns
    if not number or not explained or not _path(registry, model, number).exists():
        number = max(promotion_numbers(registry, model), default=0)
    _seen[folder] = _Seen(number, changed_ns)
    return number


def promotion_numbers(registry: Path, model: str) -> list[int]:
    """The numbers of all promotions of a model, ascending; none of them was read yet."""
    folder = _folder(registry, model)
    if not folder.is_dir():
        return []
    return sorted(int(path.stem) for path in folder.iterdir() if _RECORD.fullmatch(path.name))


def _path(registry: Path, model: str, number: int) -> Path:
    """The file of one promotion."""
    return _folder(registry, model) / f"{number:06d}.json"


def _folder(registry: Path, model: str) -> Path:
    """Where the log of a model lies."""
    return model_folder(registry, model) / "promotions"
