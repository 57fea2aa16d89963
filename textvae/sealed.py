"""A sealed folder: files and a manifest.json with the size and SHA-256 of each.

Versions, attachments and spans are sealed folders; a checkpoint has only the sums. A folder appears
complete or not at all and never changes. No file is parsed before it is verified: a tokenizer or a
tensor file that was tampered with never reaches the code that reads it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from textvae import files
from textvae.errors import CorruptError
from textvae.installation import job_command

MANIFEST = "manifest.json"
FORMAT = 1
MANIFEST_BYTES_MAX = 16 << 20
"""More is no manifest, and is not read into memory."""
SUMS = "sums.json"
HEX_DIGITS = 12
"""Of the manifest's SHA-256, at the end of the name of a folder that is named after it."""

VERSION_REMEDY = (
    "restore the folder from a copy or remove it, "
    f"and meanwhile another version can serve ({job_command('rollback')})"
)

Content = TypeVar("Content")


class Sealed(NamedTuple):
    """The manifest of a sealed folder."""

    manifest: dict[str, Any]
    manifest_sha256: str


def manifest_of(contents: Mapping[str, bytes | Path], facts: Mapping[str, Any]) -> bytes:
    """Return the manifest of a new folder: the same contents and facts give the same bytes."""
    assert not {"format", "files"} & set(facts), (
        f"format and files are the manifest's own, got {facts}"
    )
    entries = {name: _entry(content) for name, content in contents.items()}
    return files.canonical_json({"format": FORMAT, "files": entries, **facts})


def name_after(manifest: bytes, prefix: str) -> str:
    """Return `<prefix>-<the first 12 hex digits of the manifest's SHA-256>`."""
    return f"{prefix}-{hashlib.sha256(manifest).hexdigest()[:HEX_DIGITS]}"


def seal(folder: Path, contents: Mapping[str, bytes | Path], manifest: bytes) -> Sealed:
    """Write and verify the folder before anyone can see it, and make its files read-only.

    Raises FileExistsError where `folder` exists, CorruptError where a source changed while it was
    copied.
    """
    with files.new_folder(folder, read_only=True) as hidden:
        for name, content in contents.items():
            assert _is_file_name(name), f"a sealed file has a visible name, no path, got {name!r}"
            if isinstance(content, Path):
                files.copy_file(content, hidden / name)
            else:
                files.write_bytes(hidden / name, content)
        files.write_bytes(hidden / MANIFEST, manifest)
        return verify(hidden)


def verify(folder: Path, remedy: str = VERSION_REMEDY) -> Sealed:
    """Return the manifest of a folder; CorruptError unless all is as it says."""
    sealed = read_manifest(folder, remedy)
    read_files(folder, sealed, _hash_file, remedy)
    return sealed


def read_manifest(folder: Path, remedy: str = VERSION_REMEDY) -> Sealed:
    """Read the manifest and check its form, but no other file; CorruptError where it is damaged."""
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        problem = "is not a plain file" if os.path.lexists(path) else "is missing"
        raise corrupt(path, problem, remedy)
    if path.stat().st_size > MANIFEST_BYTES_MAX:
        problem = f"has more than {MANIFEST_BYTES_MAX} bytes, so it is no manifest"
        raise corrupt(path, problem, remedy)
    raw = path.read_bytes()
    return Sealed(_parse(path, raw, remedy), hashlib.sha256(raw).hexdigest())


def check_name(folder: Path, name: str, sealed: Sealed, remedy: str = VERSION_REMEDY) -> None:
    """Raise CorruptError unless `name` is that of a folder with this manifest."""
    if not name.endswith(f"-{sealed.manifest_sha256[:HEX_DIGITS]}"):
        problem = f"is not the manifest that {name} is named after"
        raise corrupt(folder / MANIFEST, problem, remedy)


def read_files(
    folder: Path,
    sealed: Sealed,
    read: Callable[[Path], tuple[str, Content]],
    remedy: str = VERSION_REMEDY,
) -> dict[str, Content]:
    """Return the content of each file of the manifest, by name.

    `read` returns the SHA-256 of a file's bytes and its content, so that one pass does for both.
    Raises CorruptError where a file is missing, extra, or has another size or hash.
    """
    entries = sealed.manifest["files"]
    _check_names(folder, {MANIFEST, *entries}, remedy)
    contents = {}
    for name, entry in entries.items():
        path = folder / name
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise corrupt(path, f"has {size} bytes, its manifest says {entry['bytes']}", remedy)
        sha256, contents[name] = read(path)
        if sha256 != entry["sha256"]:
            problem = f"has SHA-256 {sha256}, its manifest says {entry['sha256']}"
            raise corrupt(path, problem, remedy)
    return contents


def sums_of(contents: Mapping[str, bytes]) -> bytes:
    """Return the `sums.json` of a checkpoint: the SHA-256 of each file by name."""
    return files.canonical_json(
        {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    )


def read_checkpoint_files(folder: Path) -> dict[str, bytes] | None:
    """Return the files of a checkpoint, or None where one is missing or has another SHA-256.

    A caller that finds a checkpoint damaged goes back to the one before, so no error names a file.
    """
    try:
        sums = json.loads((folder / SUMS).read_bytes())
        contents = {name: (folder / name).read_bytes() for name in sums}
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    intact = all(
        hashlib.sha256(content).hexdigest() == sums[name] for name, content in contents.items()
    )
    return contents if intact and "state.json" in contents else None


def corrupt(path: Path, problem: str, remedy: str = VERSION_REMEDY) -> CorruptError:
    """Return the error for a file that is not as it was published, with what to do about it."""
    # A name may hold bytes that are not UTF-8, which no answer or log could hold.
    return CorruptError(f"{path}: {problem}; {remedy}".encode(errors="backslashreplace").decode())


def _parse(path: Path, raw: bytes, remedy: str) -> dict[str, Any]:
    """Return a manifest of the right form; the files are still to be compared with it."""
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError):
        raise corrupt(path, "is torn or not JSON", remedy) from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise corrupt(path, "is not a manifest: it lists no files", remedy)
    if manifest.get("format") != FORMAT:
        problem = f"is in format {manifest.get('format')!r}, this textvae reads format {FORMAT}"
        raise corrupt(path, problem, f"use the textvae that made it, or {remedy}")
    for name, entry in manifest["files"].items():
        is_entry = isinstance(entry, dict) and set(entry) == {"sha256", "bytes"}
        if not _is_file_name(name) or not is_entry:
            raise corrupt(path, f"has an entry that makes no sense, {name!r}", remedy)
    return manifest


def _check_names(folder: Path, expected: set[str], remedy: str) -> None:
    """Raise CorruptError unless the folder holds regular files of exactly these names."""
    found = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(folder)}
    for name in sorted(expected - set(found)):
        raise corrupt(folder / name, "is missing, its manifest names it", remedy)
    for name in sorted(set(found) - expected):
        raise corrupt(folder / name, "is not in the manifest, so it does not belong there", remedy)
    for name in sorted(name for name, is_regular in found.items() if not is_regular):
        raise corrupt(folder / name, "is not a plain file", remedy)


def _hash_file(path: Path) -> tuple[str, None]:
    """Return the SHA-256 of a file whose content is not kept."""
    return files.sha256_file(path), None


def _entry(content: bytes | Path) -> dict[str, Any]:
    """Return the manifest's entry for one file."""
    if isinstance(content, Path):
        return {"sha256": files.sha256_file(content), "bytes": content.stat().st_size}
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _is_file_name(name: str) -> bool:
    """Return whether a manifest may name this file: no path, not hidden, not the manifest."""
    return name == Path(name).name and not name.startswith(".") and name != MANIFEST
