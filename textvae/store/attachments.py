"""Attachments: records about a version that are made after it was published, or extend it.

`registry/<model>/attachments/<version>/<name>/` is a sealed folder whose manifest names the version
it belongs to. Evaluations, gate decisions, reports and fitted priors are kept here, because a
version itself never changes.
"""

import html
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from textvae.errors import InputError
from textvae.files import remove_folder
from textvae.sealed import MANIFEST, Sealed, corrupt, manifest_of, seal, verify
from textvae.store.versions import Version, model_folder

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def attach(registry: Path, version: Version, name: str, files: Mapping[str, bytes]) -> Path:
    """Write an attachment and return its folder; an existing one with the same bytes stays.

    Raises InputError where another attachment has this name: attachments are never rewritten.
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
    """Return the verified files of an attachment by name; None where there is no such attachment.

    Raises CorruptError where a file is not as it was attached, or belongs to another version.
    """
    folder = _folder(registry, version, name)
    if not folder.exists():
        return None
    sealed = _verify_of(folder, version)
    return {file: (folder / file).read_bytes() for file in sorted(sealed.manifest["files"])}


def list_attachments(registry: Path, version: Version) -> list[str]:
    """Return the names of all attachments of a version, sorted."""
    folder = _shelf(registry, version)
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))


def newest_attachment(registry: Path, version: Version, kind: str) -> str:
    """Return the newest of the attachments whose names begin with `kind`; empty for none."""
    names = [name for name in list_attachments(registry, version) if name.startswith(kind)]
    shelf = _shelf(registry, version)
    # A folder's own time says when its last file was written.
    return max(names, key=lambda name: ((shelf / name).stat().st_mtime_ns, name), default="")


def remove_quoting(registry: Path, model: str, kind: str, texts: Collection[str]) -> list[Path]:
    """Remove the attachments of this kind, of all versions, that quote a text.

    Return their folders. A text is found as it is and as HTML escapes it.
    """
    shelves = model_folder(registry, model) / "attachments"
    spellings = {spelling.encode() for text in texts for spelling in (text, html.escape(text))}
    removed = []
    for folder in sorted(shelves.glob(f"*/{kind}*")):
        contents = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
        if any(spelling in content for spelling in spellings for content in contents):
            remove_folder(folder)
            removed.append(folder)
    return removed


def _verify_of(folder: Path, version: Version) -> Sealed:
    """Verify an attachment; CorruptError unless it belongs to this version."""
    sealed = verify(folder)
    owner = sealed.manifest.get("version_manifest_sha256")
    if owner != version.manifest_sha256:
        raise corrupt(folder / MANIFEST, f"does not belong to version {version.name}")
    if sealed.manifest.get("attachment") != folder.name:
        raise corrupt(folder / MANIFEST, f"is not the attachment {folder.name!r}")
    return sealed


def _folder(registry: Path, version: Version, name: str) -> Path:
    """Return the path of an attachment; InputError for an invalid name."""
    if not _NAME.fullmatch(name):
        raise InputError(
            "name",
            f"must be 1 to 63 lower-case letters, digits, hyphens, underscores, got {name!r}",
        )
    return _shelf(registry, version) / name


def _shelf(registry: Path, version: Version) -> Path:
    """Return the folder of all attachments of a version."""
    return model_folder(registry, version.model) / "attachments" / version.name


def json_values(value: Any) -> Any:
    """Return the value with None for the numbers that JSON lacks."""
    if isinstance(value, dict):
        return {name: json_values(item) for name, item in value.items()}
    if isinstance(value, list):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
