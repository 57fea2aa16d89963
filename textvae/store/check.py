"""Check a registry and the corpus: findings in words, with a repair for derived data."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from textvae.corpus.spans import ASIDE, list_spans, load_spans
from textvae.corpus.tombstones import TOMBSTONES
from textvae.errors import CorruptError
from textvae.installation import job_command
from textvae.sealed import read_checkpoint_files
from textvae.store.attachments import list_attachments, read_attachment
from textvae.store.pins import list_pins
from textvae.store.promotions import Promotion, point_champion, promotion_numbers, read_promotion
from textvae.store.prune import pruned_versions
from textvae.store.versions import (
    Version,
    list_models,
    list_versions,
    model_folder,
    open_version,
)


class Finding(NamedTuple):
    """One problem."""

    problem: str
    """What is wrong, with the path and what to do."""
    repair: Callable[[], None] | None = None
    """Repairs it; None where only people can, since the data is not derived."""


def check_registry(registry: Path) -> Iterator[Finding]:
    """Check every byte of versions and attachments, the logs, the champion links and the pins."""
    for model in list_models(registry):
        versions: dict[str, Version | None] = {}
        for name in list_versions(registry, model):
            try:
                versions[name] = open_version(registry, model, name)
            except CorruptError as error:
                versions[name] = None
                yield Finding(str(error))
        folder = model_folder(registry, model)
        yield from _foreign_entries(folder / "versions", set(versions), "a version")
        yield from _attachments(registry, model, versions)
        yield from _promotions(registry, model, versions)
        for name in list_pins(registry, model):
            if name not in versions:
                yield Finding(
                    f"{folder}: {name} is pinned and not there; restore it, or take the pin back "
                    f"({job_command('prune')} --unpin {name})"
                )


def check_spans(spans: Path) -> Iterator[Finding]:
    """Check every byte of every span, and for anything else in their folder."""
    names = list_spans(spans)
    seen: dict[str, str] = {}
    for name in names:
        number = name.partition("-")[0]
        if number in seen:
            yield Finding(f"{spans / name}: has the number of {seen[number]} too; remove one")
        seen[number] = name
        try:
            load_spans(spans, [name])
        except CorruptError as error:
            yield Finding(str(error))
    yield from _foreign_entries(spans, {*names, ASIDE, TOMBSTONES}, "a span")


def damaged_checkpoints(runs: Path) -> list[Path]:
    """Return the damaged checkpoints below a folder of runs; training resumes before them."""
    paths = sorted(runs.glob("*/checkpoints/*/[0-9]*")) if runs.is_dir() else []
    return [path for path in paths if read_checkpoint_files(path) is None and path.exists()]


def _foreign_entries(folder: Path, known: set[str], kind: str) -> Iterator[Finding]:
    """Find visible entries of a folder that do not belong there."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.name.startswith(".") and path.name not in known:
            yield Finding(f"{_printable(path)}: is not {kind}; move it elsewhere")


def _attachments(
    registry: Path, model: str, versions: dict[str, Version | None]
) -> Iterator[Finding]:
    """Check every byte of the attachments; find those without their version."""
    shelves = model_folder(registry, model) / "attachments"
    for shelf in sorted(shelves.iterdir()) if shelves.is_dir() else []:
        version = versions.get(shelf.name)
        if shelf.name.startswith("."):
            continue
        if shelf.name not in versions:
            yield Finding(
                f"{_printable(shelf)}: belongs to a version that is gone; "
                "restore that from a copy, or let a prune remove it"
            )
        if version is None:
            continue
        names = list_attachments(registry, version)
        for name in names:
            try:
                read_attachment(registry, version, name)
            except CorruptError as error:
                yield Finding(str(error))
        yield from _foreign_entries(shelf, set(names), "an attachment")


def _promotions(
    registry: Path, model: str, versions: dict[str, Version | None]
) -> Iterator[Finding]:
    """Check the log for gaps, each version against its promotion, and the champion link."""
    log: dict[int, Promotion] = {}
    existing, removed = promotion_numbers(registry, model), pruned_versions(registry, model)
    folder = model_folder(registry, model) / "promotions"
    for number in range(1, existing[-1] + 1 if existing else 1):
        path = folder / f"{number:06d}.json"
        if number not in existing:
            yield Finding(f"{path}: is missing, there are later ones; restore it from a copy")
            continue
        try:
            log[number] = read_promotion(registry, model, number)
        except CorruptError as error:
            yield Finding(str(error))
            continue
        yield from _promotion(path, log, number, versions, removed)
    yield from _foreign_entries(
        folder, {f"{number:06d}.json" for number in existing}, "a promotion"
    )
    if not existing or existing[-1] in log:
        name = log[existing[-1]].version if existing else ""
        yield from _link(registry, model, name)


def _promotion(
    path: Path,
    log: dict[int, Promotion],
    number: int,
    versions: dict[str, Version | None],
    removed: set[str],
) -> Iterator[Finding]:
    """Check one promotion against its version and the promotion before it."""
    promotion, before = log[number], log.get(number - 1)
    name = promotion.version
    if before and promotion.previous != before.version:
        yield Finding(
            f"{path}: says that {promotion.previous} served before, promotion {number - 1} says "
            f"{before.version}; restore both from a copy"
        )
    version = versions.get(name)
    if version and version.manifest_sha256 != promotion.manifest_sha256:
        yield Finding(f"{path}: {name} is not the one that was promoted; restore it from a copy")
    if name not in versions and name not in removed:
        yield Finding(f"{path}: {name} is gone and no prune removed it; restore it from a copy")


def _link(registry: Path, model: str, name: str) -> Iterator[Finding]:
    """Check the link `champion` against the version in force; no link for an empty name."""
    link, target = model_folder(registry, model) / "champion", f"versions/{name}"
    exists = os.path.lexists(link)
    if not name and exists:
        yield Finding(f"{link}: is there, but no promotion; restore the promotions from a copy")
    elif name and exists and not link.is_symlink():
        yield Finding(f"{link}: is not a link; move it elsewhere, then --repair makes one")
    elif name and not (exists and os.readlink(link) == target):
        yield Finding(
            f"{link}: does not point to {target}, which serves; --repair puts it right",
            lambda: point_champion(registry, model),
        )


def _printable(path: Path) -> str:
    """Return a path as text that every log can hold, whatever bytes are in its name."""
    return str(path).encode(errors="backslashreplace").decode()
