"""Versions: `registry/<model>/versions/<version>/`, a sealed folder named after its own manifest.

A version's name is the day it was made and the first 12 hex digits of its manifest's SHA-256, so
that a name can only ever mean one thing. It holds no clock time and no verdict: what is learned
about it later is an attachment, and whether it serves is a promotion.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textvae.errors import InputError, NotFoundError
from textvae.sealed import check_name, manifest_of, name_after, read_manifest, seal, verify

_MODEL = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
VERSION_NAME = re.compile(r"[0-9]{8}-[0-9a-f]{12}")


class Version(NamedTuple):
    """A version whose every byte is as it was published."""

    model: str
    name: str
    """The version id, such as 20261123-3f9a1c2b77d0."""
    folder: Path
    manifest: dict[str, Any]
    """`format`, `files`, and the facts it was published with."""
    manifest_sha256: str


def model_folder(registry: Path, model: str) -> Path:
    """Where a model lies, whether it exists or not; InputError for a name that cannot be one."""
    if not _MODEL.fullmatch(model):
        raise InputError(
            "model", f"must be 1 to 63 lower-case letters, digits and hyphens, got {model!r}"
        )
    return registry / model


def publish(
    registry: Path,
    model: str,
    date: str,
    files: Mapping[str, bytes | Path],
    facts: Mapping[str, Any],
) -> Version:
    """A new version of `model`, or the one there is where the same was published before.

    `date` is written 20261123; `files` maps plain names to bytes, or to files to copy. It is
    written and verified before anyone can see it, and read-only from then on.
    """
    manifest = manifest_of(files, facts)
    name = name_after(manifest, date)
    assert VERSION_NAME.fullmatch(name), f"a date is 8 digits, got {date!r}"
    for there in list_versions(registry, model):
        if there.endswith(name[8:]):
            return open_version(registry, model, there)
    folder = _folder(registry, model, name)
    try:
        return Version(model, name, folder, *seal(folder, files, manifest))
    except FileExistsError:
        return open_version(registry, model, name)


def open_version(registry: Path, model: str, name: str) -> Version:
    """A verified version. NotFoundError lists those there are; CorruptError names the bad file."""
    names = list_versions(registry, model)
    if name not in names:
        there = f"there are {', '.join(names)}" if names else "python -m jobs.train makes the first"
        raise NotFoundError(f"{model_folder(registry, model)}: no version {name!r}; {there}")
    folder = _folder(registry, model, name)
    sealed = verify(folder)
    check_name(folder, name, sealed)
    return Version(model, name, folder, *sealed)


def parent_of(folder: Path, name: str) -> str:
    """The version that version `name` began from, or empty; `folder` is where it lies.

    CorruptError where the manifest is damaged; no other file is looked at.
    """
    sealed = read_manifest(folder)
    check_name(folder, name, sealed)
    return str(sealed.manifest.get("parent", ""))


def list_versions(registry: Path, model: str) -> list[str]:
    """The names of a model's versions, newest first; none where there is no such model."""
    folder = model_folder(registry, model) / "versions"
    if not folder.is_dir():
        return []
    found = [
        path for path in folder.iterdir() if VERSION_NAME.fullmatch(path.name) and path.is_dir()
    ]
    # The day is in the name; within one, a folder's own time says when its last file was written.
    found.sort(key=lambda path: (path.name[:8], path.stat().st_mtime_ns, path.name), reverse=True)
    return [path.name for path in found]


def list_models(registry: Path) -> list[str]:
    """The names of the models in a registry, sorted; none where there is no registry."""
    if not registry.is_dir():
        return []
    return sorted(
        path.name
        for path in registry.iterdir()
        if _MODEL.fullmatch(path.name) and (path / "versions").is_dir()
    )


def _folder(registry: Path, model: str, name: str) -> Path:
    """Where a version lies."""
    return model_folder(registry, model) / "versions" / name
