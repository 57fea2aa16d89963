"""Pins: versions that no prune removes, since people want to keep them.

`registry/<model>/pins/<version>.json` says who pinned it and why; its existence is what counts. A
pin is no attachment, because it can be taken back, and attachments are never rewritten.
"""

from pathlib import Path

from textvae import files
from textvae.errors import InputError
from textvae.store.versions import model_folder, open_version


def pin(registry: Path, model: str, name: str, *, reason: str, actor: str, at: str) -> bool:
    """Pin version `name`; return False where it is pinned already, which stays as it is.

    Raises NotFoundError, CorruptError.
    """
    open_version(registry, model, name)
    record = files.canonical_json({"version": name, "reason": reason, "actor": actor, "at": at})
    return files.create_by_link(_folder(registry, model) / f"{name}.json", record)


def unpin(registry: Path, model: str, name: str) -> None:
    """Remove the pin of version `name`; InputError where it has none."""
    pinned = list_pins(registry, model)
    if name not in pinned:
        raise InputError("unpin", f"{name} is not pinned; there are: {', '.join(pinned) or 'none'}")
    (_folder(registry, model) / f"{name}.json").unlink(missing_ok=True)


def list_pins(registry: Path, model: str) -> list[str]:
    """Return the names of the pinned versions, sorted."""
    folder = _folder(registry, model)
    if not folder.is_dir():
        return []
    return sorted(path.stem for path in folder.glob("[0-9]*.json"))


def _folder(registry: Path, model: str) -> Path:
    """Return the folder of a model's pins."""
    return model_folder(registry, model) / "pins"
