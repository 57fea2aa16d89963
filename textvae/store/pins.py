"""Pins: versions that people want kept, whatever else becomes of them.

`registry/<model>/pins/<version>.json` says who pinned it and why; that it is there is what counts.
It is no attachment, because it may be taken back, and what is attached is never rewritten.
"""

from pathlib import Path

from textvae import files
from textvae.errors import InputError
from textvae.store.versions import model_folder, open_version


def pin(registry: Path, model: str, name: str, *, reason: str, actor: str, at: str) -> bool:
    """Version `name` is kept from now on; False where it was pinned already, and stays as it was.

    Raises NotFoundError, CorruptError.
    """
    open_version(registry, model, name)
    record = files.canonical_json({"version": name, "reason": reason, "actor": actor, "at": at})
    return files.create_by_link(_folder(registry, model) / f"{name}.json", record)


def unpin(registry: Path, model: str, name: str) -> None:
    """Version `name` is kept no longer than others; InputError where it is not pinned."""
    pinned = list_pins(registry, model)
    if name not in pinned:
        raise InputError("unpin", f"{name} is not pinned; there are: {', '.join(pinned) or 'none'}")
    (_folder(registry, model) / f"{name}.json").unlink(missing_ok=True)


def list_pins(registry: Path, model: str) -> list[str]:
    """The names of the pinned versions, sorted."""
    folder = _folder(registry, model)
    if not folder.is_dir():
        return []
    return sorted(path.stem for path in folder.glob("[0-9]*.json"))


def _folder(registry: Path, model: str) -> Path:
    """Where the pins of a model lie."""
    return model_folder(registry, model) / "pins"
