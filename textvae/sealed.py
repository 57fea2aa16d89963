"""A sealed folder: plain files and a manifest.json with the size and SHA-256 of each.

It appears whole or not at all and never changes. Nothing in it is parsed before it is verified: a
tokenizer or a tensor file that has been tampered with never reaches the code that reads it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.errors import CorruptError

MANIFEST = "manifest.json"
FORMAT = 1
MANIFEST_BYTES_MAX = 16 << 20
"""More is no manifest, and is not read into memory."""


class Sealed(NamedTuple):
    """What a verified folder says of itself."""

    manifest: dict[str, Any]
    manifest_sha256: str


def manifest_of(contents: Mapping[str, bytes | Path], facts: Mapping[str, Any]) -> bytes:
    """The manifest of a folder to come: the same contents and facts give the same bytes."""
    assert not {"format", "files"} & set(facts), (
        f"format and files are the manifest's own, got {facts}"
    )
    entries = {name: _entry(content) for name, content in contents.items()}
    return files.canonical_json({"format": FORMAT, "files": entries, **facts})


def seal(folder: Path, contents: Mapping[str, bytes | Path], manifest: bytes) -> Sealed:
    """The folder, written and verified before anyone can see it, its files read-only.

    FileExistsError where `folder` exists; CorruptError where a source changed under the copy.
    """
    with files.new_folder(folder, read_only=True) as hidden:
        for name, content in contents.items():
            assert _is_plain(name), f"a sealed file has a plain visible name, got {name!r}"
            if isinstance(content, Path):
                files.copy_file(content, hidden / name)
            else:
                files.write_bytes(hidden / name, content)
        files.write_bytes(hidden / MANIFEST, manifest)
        return verify(hidden)


def verify(folder: Path) -> Sealed:
    """The manifest of a folder whose every name, size and hash is as it says, else CorruptError."""
    sealed = read_manifest(folder)
    entries = sealed.manifest["files"]
    _verify_names(folder, {MANIFEST, *entries})
    for name, entry in entries.items():
        _verify_file(folder / name, entry)
    return sealed


def read_manifest(folder: Path) -> Sealed:
    """What a folder says of itself, before its files were looked at; CorruptError where nothing."""
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise corrupt(path, "is not a plain file" if os.path.lexists(path) else "is missing")
    if path.stat().st_size > MANIFEST_BYTES_MAX:
        raise corrupt(path, f"has more than {MANIFEST_BYTES_MAX} bytes, so it is no manifest")
    raw = path.read_bytes()
    return Sealed(_parse(path, raw), hashlib.sha256(raw).hexdigest())


def read_whole(folder: Path) -> dict[str, bytes] | None:
    """The files of a checkpoint, or None where one is missing or not what it was.

    A checkpoint is sealed by `sums.json`, the SHA-256 of each file by name: whoever finds it
    damaged goes back to the one before, so nobody needs to be told which file it is.
    """
    try:
        sums = json.loads((folder / "sums.json").read_bytes())
        parts = {name: (folder / name).read_bytes() for name in sums}
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    whole = all(
        hashlib.sha256(content).hexdigest() == sums[name] for name, content in parts.items()
    )
    return parts if whole and "state.json" in parts else None


def corrupt(path: Path, problem: str) -> CorruptError:
    """The error of a file that is not as it was published, with the ways out of it."""
    message = (
        f"{path}: {problem}; restore the folder from a copy or remove it, "
        "and meanwhile another version can serve (python -m jobs.rollback)"
    )
    # A name may hold bytes that are not UTF-8, which no answer or log could hold.
    return CorruptError(message.encode(errors="backslashreplace").decode())


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    """A manifest whose form is right; whether it tells the truth is for the caller to find out."""
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError):
        raise corrupt(path, "is torn or not JSON") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise corrupt(path, "is not a manifest: it lists no files")
    if manifest.get("format") != FORMAT:
        raise CorruptError(
            f"{path}: is in format {manifest.get('format')!r}, this textvae reads format {FORMAT}; "
            "use the textvae that made it, or make the version again"
        )
    for name, entry in manifest["files"].items():
        if not _is_plain(name) or not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
            raise corrupt(path, f"has an entry that makes no sense, {name!r}")
    return manifest


def _verify_names(folder: Path, named: set[str]) -> None:
    """CorruptError where the folder holds more, less or other things than plain files so named."""
    found = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(folder)}
    for name in sorted(named - set(found)):
        raise corrupt(folder / name, "is missing, its manifest names it")
    for name in sorted(set(found) - named):
        raise corrupt(folder / name, "is not in the manifest, so it does not belong there")
    for name in sorted(name for name, plain in found.items() if not plain):
        raise corrupt(folder / name, "is not a plain file")


def _verify_file(path: Path, entry: dict[str, Any]) -> None:
    """CorruptError where a file's size or bytes are not those of its manifest entry."""
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise corrupt(path, f"has {size} bytes, its manifest says {entry['bytes']}")
    sha256 = files.sha256_file(path)
    if sha256 != entry["sha256"]:
        raise corrupt(path, f"has SHA-256 {sha256}, its manifest says {entry['sha256']}")


def _entry(content: bytes | Path) -> dict[str, Any]:
    """The manifest's line for one file."""
    if isinstance(content, Path):
        return {"sha256": files.sha256_file(content), "bytes": content.stat().st_size}
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _is_plain(name: str) -> bool:
    """Whether a manifest may name this file: no path, not hidden, not the manifest itself."""
    return name == Path(name).name and not name.startswith(".") and name != MANIFEST
