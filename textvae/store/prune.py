"""The clean-up of a registry and its runs: removes all versions and runs that nothing needs.

A version to be removed is first marked, that is renamed to `.NAME.removed`, where no reader sees
it. Then all needs are determined once more, since a promoter may have come in between. Then it is
removed. A kill leaves marks, and the next prune decides on them as on everything else.
"""

import logging
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from textvae import files, locks
from textvae.config.prune import PruneConfig
from textvae.errors import BusyError, CorruptError
from textvae.sealed import read_manifest
from textvae.store.decisions import Decisions, read_decisions
from textvae.store.leases import lease_holders
from textvae.store.pins import list_pins
from textvae.store.promotions import promotion_history, rollback_path
from textvae.store.versions import (
    VERSION_NAME,
    Version,
    list_versions,
    model_folder,
    parent_of,
)

log = logging.getLogger(__name__)

_RUN = re.compile(r"[0-9a-f]{12}|rebuild-.*")
_REMOVED = ".removed"
_DAY_S = 86_400.0
LEFTOVER_S = _DAY_S
"""A hidden file this old was left by a kill: no process is still writing it."""


class Fate(NamedTuple):
    """What a prune does to one version or run."""

    name: str
    goes: bool
    why: str
    """Why it goes or stays, in words."""


def version_fates(registry: Path, model: str, config: PruneConfig, now_s: float) -> list[Fate]:
    """Return what a prune at `now_s` (seconds of time.time) would do to each version, newest first.

    Raises CorruptError where the log of promotions, or the manifest of a version that stays, is
    damaged, or the champion is missing: needs are then unknown, so nothing may be removed.
    """
    paths = _version_paths(registry, model)
    stays = _needed_versions(registry, model, config)
    ages = {name: _age_days(name, path, now_s) for name, path in paths.items()}
    for name, age in ages.items():
        if age < config.grace_days:
            stays.setdefault(name, f"is {age:.1f} days old, all stay for {config.grace_days:g}")
    # A version is rebuilt from its parent; more ancestors are kept by pins.
    for name in sorted(set(stays) & set(paths)):
        if paths[name].parent.name == "versions":  # of others only attachments are left
            stays.setdefault(parent_of(paths[name], name), f"is the parent of {name}, which stays")
    return [
        Fate(name, name not in stays, stays.get(name, f"is {ages[name]:.1f} days old, unneeded"))
        for name in sorted(paths, reverse=True)
    ]


def prune_versions(
    registry: Path, model: str, config: PruneConfig, now_s: float, at: str
) -> list[Fate]:
    """Remove the versions that nothing needs, with their attachments; return the fate of each.

    Each leaves a record in `pruned/`, dated `at`, with its gate decisions. Raises as
    `version_fates`, and BusyError while another prune runs.
    """
    folder = model_folder(registry, model)
    if not folder.is_dir():
        return []
    with locks.hold_lock(folder / "prune.lock", "prune"):
        for fate in version_fates(registry, model, config, now_s):
            if fate.goes and (folder / "versions" / fate.name).is_dir():
                _mark(folder / "versions" / fate.name)
        fates = version_fates(registry, model, config, now_s)
        for fate in fates:
            (_remove_version if fate.goes else _restore)(folder, fate, at)
    return fates


def run_fates(runs: Path, config: PruneConfig, now_s: float) -> list[Fate]:
    """Return what a prune at `now_s` would do to each training run, by name."""
    fates = []
    for path in sorted(runs.iterdir()) if runs.is_dir() else []:
        if not _RUN.fullmatch(path.name) or not path.is_dir():
            continue
        if locks.is_locked(path / "lock"):
            fates.append(Fate(path.name, False, f"is at work: {locks.lock_holder(path / 'lock')}"))
            continue
        age = (now_s - _last_write_s(path)) / _DAY_S
        goes = age >= config.runs_days
        limit = "" if goes else f", all stay for {config.runs_days:g}"
        fates.append(Fate(path.name, goes, f"was written to {age:.1f} days ago{limit}"))
    return fates


def prune_runs(runs: Path, config: PruneConfig, now_s: float) -> list[Fate]:
    """Remove the training runs that are no longer continued; return the fate of each."""
    fates = []
    for fate in run_fates(runs, config, now_s):
        if fate.goes:
            try:
                with locks.hold_lock(runs / fate.name / "lock", "prune"):
                    _mark(runs / fate.name)
            except BusyError:
                fate = Fate(fate.name, False, "has been gone on with just now")
        fates.append(fate)
    for hidden in _marked_paths(runs).values():
        files.sweep(hidden)
    return fates


def leftovers(folder: Path, now_s: float) -> list[Path]:
    """Return what kills left hidden below a folder more than a day before `now_s`."""
    paths = []
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            if not name.startswith(".") or not name.endswith(files.UNFINISHED):
                continue
            if name in folders:
                folders.remove(name)
            if now_s - (path := Path(parent, name)).lstat().st_mtime > LEFTOVER_S:
                paths.append(path)
    return sorted(paths)


def pruned_versions(registry: Path, model: str) -> set[str]:
    """Return the names of all versions that a prune removed."""
    folder = model_folder(registry, model) / "pruned"
    return {path.stem for path in folder.glob("[0-9]*.json")} if folder.is_dir() else set()


def _needed_versions(registry: Path, model: str, config: PruneConfig) -> dict[str, str]:
    """Return the versions that something needs, and why."""
    # Leases before promotions: a promoter gives up its lease after its promotion is there.
    leases = lease_holders(registry, model)
    promotions = promotion_history(registry, model)
    stays: dict[str, str] = {}
    if promotions:
        now = promotions[-1]
        stays[now.version] = f"is the champion (promotion {now.number})"
        path = _version_paths(registry, model).get(now.version)
        if path is None or path.parent.name != "versions":
            raise CorruptError(
                f"{model_folder(registry, model)}: the champion {now.version} is gone; restore it "
                "from a copy or promote another version, nothing is pruned before"
            )
    count = config.versions_kept
    served = dict.fromkeys(promotion.version for promotion in reversed(promotions))
    for name in list(served)[:count]:
        stays.setdefault(name, f"is one of the last {count} that served")
    for name in rollback_path(promotions)[-count:]:
        stays.setdefault(name, "is one of those that rollbacks go back to")
    for name in list_pins(registry, model):
        stays.setdefault(name, "is pinned")
    for name, who in leases.items():
        stays.setdefault(name, f"is in use: {who}")
    return stays


def _version_paths(registry: Path, model: str) -> dict[str, Path]:
    """Return the path of each version: published, marked, or removed with attachments left."""
    folder = model_folder(registry, model)
    shelves = folder / "attachments"
    attached = shelves.iterdir() if shelves.is_dir() else []
    published = {name: folder / "versions" / name for name in list_versions(registry, model)}
    paths = (
        {path.name: path for path in attached}
        | _marked_paths(shelves)
        | _marked_paths(folder / "versions")
    )
    return {
        name: path for name, path in (paths | published).items() if VERSION_NAME.fullmatch(name)
    }


def _age_days(name: str, path: Path, now_s: float) -> float:
    """Return the days since the day in the name, or since the last write to the folder if later."""
    try:
        day_s = datetime.strptime(name[:8], "%Y%m%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        day_s = 0.0  # any 8 digits can be a name
    return (now_s - max(day_s, path.stat().st_mtime)) / _DAY_S


def _last_write_s(run: Path) -> float:
    """Return the time of the last write to a run, its lock aside."""
    lock_files = {run / "lock", run / "lock.holder"}
    paths = (path for path in run.rglob("*") if path not in lock_files and path.is_file())
    return max((path.stat().st_mtime for path in paths), default=run.stat().st_mtime)


def _mark(path: Path) -> None:
    """Hide `path` from every reader."""
    hidden = path.with_name(f".{path.name}{_REMOVED}")
    if hidden.exists():  # by a killed prune, and the same was published again since
        files.sweep(hidden)
    files.move(path, hidden)


def _marked_paths(folder: Path) -> dict[str, Path]:
    """Return what is marked in a folder, by its name before."""
    paths = folder.glob(f".*{_REMOVED}") if folder.is_dir() else []
    return {path.name[1:].removesuffix(_REMOVED): path for path in paths}


def _remove_version(folder: Path, fate: Fate, at: str) -> None:
    """Remove a version, and then its attachments."""
    versions, shelves = folder / "versions", folder / "attachments"
    if hidden := _marked_paths(versions).get(fate.name):
        decisions = _decisions(folder, fate.name, hidden)
        record = {"version": fate.name, "why": fate.why, "at": at, "decisions": decisions}
        files.create_by_link(folder / "pruned" / f"{fate.name}.json", files.canonical_json(record))
        files.sweep(hidden)
    if (shelves / fate.name).is_dir():
        _mark(shelves / fate.name)
    if hidden := _marked_paths(shelves).get(fate.name):
        files.sweep(hidden)


def _decisions(folder: Path, name: str, hidden: Path) -> Decisions:
    """Return the gate decisions about a hidden version; none where one is damaged."""
    try:
        version = Version(folder.name, name, hidden, *read_manifest(hidden))
        return read_decisions(folder.parent, version)
    except CorruptError as error:
        log.warning("what was decided about %s cannot be kept: %s", name, error)
        return {}


def _restore(folder: Path, fate: Fate, at: str) -> None:
    """Give a version that stays its name back, and its attachments too."""
    for parent in (folder / "versions", folder / "attachments"):
        if hidden := _marked_paths(parent).get(fate.name):
            if (parent / fate.name).exists():  # published again since it was marked
                files.sweep(hidden)
            else:
                files.move(hidden, parent / fate.name)
