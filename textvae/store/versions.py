"""Versions: `registry/<model>/versions/<version>/`, a sealed folder named after its own manifest.

A version's name is its day and the first 12 hex digits of its manifest's SHA-256, so that a name
has only one meaning. A version holds no clock time and no verdict: later records about it are
attachments, and whether it serves is a promotion.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textvae.errors import InputError, NotFoundError
from textvae.installation import job_command
from textvae.sealed import check_name, manifest_of, name_after, read_manifest, seal, verify

_MODEL = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
VERSION_NAME = re.compile(r"[0-9]{8}-[0-9a-f]{12}")


class Version(NamedTuple):
    """A verified version: every byte is as it was published."""

    model: str
    name: str
    """The version id, such as 20261123-3f9a1c2b77d0."""
    folder: Path
    manifest: dict[str, Any]
    """`format`, `files`, and the facts it was published with."""
    manifest_sha256: str


def model_folder(registry: Path, model: str) -> Path:
    """Return the folder of a model, whether it exists or not; InputError for an invalid name."""
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
    """Publish a version of `model`; return the existing one where the same was published before.

    `date` has the form 20261123; `files` maps file names to bytes, or to files to copy. The version
    is verified before anyone can see it, and read-only from then on.
    """
    manifest = manifest_of(files, facts)
    name = name_after(manifest, date)
    assert VERSION_NAME.fullmatch(name), f"a date is 8 digits, got {date!r}"
    for existing in list_versions(registry, model):
        if existing.endswith(name[8:]):
            return open_version(registry, model, existing)
    folder = _folder(registry, model, name)
    try:
        return Version(model, name, folder, *seal(folder, files, manifest))
    except FileExistsError:
        return open_version(registry, model, name)


def open_version(registry: Path, model: str, name: str) -> Version:
    """Return a verified version.

    NotFoundError lists the existing ones; CorruptError names the damaged file.
    """
    names = list_versions(registry, model)
    if name not in names:
        hint = (
            f"there are {', '.join(names)}" if names else f"{job_command('train')} makes the first"
        )
        raise NotFoundError(f"{model_folder(registry, model)}: no version {name!r}; {hint}")
    folder = _folder(registry, model, name)
    sealed = verify(folder)
    check_name(folder, name, sealed)
    return Version(model, name, folder, *sealed)


def parent_of(folder: Path, name: str) -> str:
    """Return the version that version `name` in `folder` began from; empty for none.

    Raises CorruptError where the manifest is damaged; no other file is read.
    """
    sealed = read_manifest(folder)
    check_name(folder, name, sealed)
    return str(sealed.manifest.get("parent", ""))


def list_versions(registry: Path, model: str) -> list[str]:
    """Return the names of a model's versions, newest first; none where there is no such model."""
    folder = model_folder(registry, model) / "versions"
    if not folder.is_dir():
        return []
    paths = [
        path for path in folder.iterdir() if VERSION_NAME.fullmatch(path.name) and path.is_dir()
    ]
    # The day is in the name; within one, a folder's own time says when its last file was written.
    paths.sort(key=lambda path: (path.name[:8], path.stat().st_mtime_ns, path.name), reverse=True)
    return [path.name for path in paths]


def list_models(registry: Path) -> list[str]:
    """Return the names of the models in a registry, sorted; none where there is no registry."""
    if not registry.is_dir():
        return []
    return sorted(
        path.name
        for path in registry.iterdir()
        if _MODEL.fullmatch(path.name) and (path / "versions").is_dir()
    )


def _folder(registry: Path, model: str, name: str) -> Path:
    """Return the folder of a version."""
    return model_folder(registry, model) / "versions" / name
