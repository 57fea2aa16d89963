"""Attachments: what is learned about a version after it was published, or extends it.

`registry/<model>/attachments/<version>/<name>/` is a sealed folder whose manifest names the version
it belongs to. Evaluations, gate decisions, reports and fitted priors live here, because a version
itself never changes.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textvae.errors import InputError
from textvae.sealed import MANIFEST, Sealed, corrupt, manifest_of, seal, verify
from textvae.store.versions import Version, model_folder

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def attach(registry: Path, version: Version, name: str, files: Mapping[str, bytes]) -> Path:
    """The folder of a new attachment, or of the one there is where it holds the same bytes.

    InputError where another attachment has this name: what was said once is never rewritten.
    """
    folder = _folder(registry, version, name)
    facts = {"model": version.model, "version": version.name, "attachment": name}
    manifest = manifest_of(files, {**facts, "version_manifest_sha256": version.manifest_sha256})
    try:
        seal(folder, files, manifest)
    except FileExistsError:
        _verify_of(folder, version)
        if (folder / MANIFEST).read_bytes() != manifest:
            raise InputError(
                "name",
                f"{name!r} is attached to {version.name} with other content; take a new name",
            ) from None
    return folder


def read_attachment(registry: Path, version: Version, name: str) -> dict[str, bytes] | None:
    """The verified files of an attachment by name, or None where the version has no such one.

    CorruptError where a file is not as it was attached, or was attached to another version.
    """
    folder = _folder(registry, version, name)
    if not folder.exists():
        return None
    sealed = _verify_of(folder, version)
    return {file: (folder / file).read_bytes() for file in sorted(sealed.manifest["files"])}


def list_attachments(registry: Path, version: Version) -> list[str]:
    """The names of what is attached to a version, sorted."""
    folder = _shelf(registry, version)
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))


def newest_attachment(registry: Path, version: Version, kind: str) -> str:
    """The name of what was attached last of all whose names begin with `kind`, or empty."""
    names = [name for name in list_attachments(registry, version) if name.startswith(kind)]
    shelf = _shelf(registry, version)
    # A folder's own time says when its last file was written.
    return max(names, key=lambda name: ((shelf / name).stat().st_mtime_ns, name), default="")


def _verify_of(folder: Path, version: Version) -> Sealed:
    """A verified attachment that belongs to this version."""
    sealed = verify(folder)
    owner = sealed.manifest.get("version_manifest_sha256")
    if owner != version.manifest_sha256:
        raise corrupt(folder / MANIFEST, f"does not belong to version {version.name}")
    if sealed.manifest.get("attachment") != folder.name:
        raise corrupt(folder / MANIFEST, f"is not the attachment {folder.name!r}")
    return sealed


def _folder(registry: Path, version: Version, name: str) -> Path:
    """Where an attachment lies; InputError for a name that cannot be one."""
    if not _NAME.fullmatch(name):
        raise InputError(
            "name",
            f"must be 1 to 63 lower-case letters, digits, hyphens, underscores, got {name!r}",
        )
    return _shelf(registry, version) / name


def _shelf(registry: Path, version: Version) -> Path:
    """The folder of all attachments of a version."""
    return model_folder(registry, version.model) / "attachments" / version.name


def json_values(value: Any) -> Any:
    """The value with None in place of numbers that JSON lacks."""
    if isinstance(value, dict):
        return {name: json_values(item) for name, item in value.items()}
    if isinstance(value, list):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
