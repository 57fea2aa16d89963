"""The folder of an output: whose it is, its shards, and what is done of them.

Hidden until all is done: `.identity.json` says of what version, settings and input the folder is;
`.part-00000.json` is the note of a shard that is done, written after its draft. Then the shards
become visible one by one, and `_SUCCESS` is the last.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.bulk.formats import FORMATS, Format
from textvae.errors import BusyError, InputError
from textvae.locks import hold_lock, is_locked

SUCCESS, REPORT, IDENTITY = "_SUCCESS", "report.json", ".identity.json"
PARTS = ".parts"
"""Ending of the folder beside an output that is one file."""
_KNOWN = "known"
"""What the identity remembers and is not compared."""


class Part(NamedTuple):
    """Which shards one process does: those whose number leaves `number` when divided by `of`."""

    number: int = 0
    of: int = 1


class Output(NamedTuple):
    """An output of so many shards."""

    folder: Path
    file: Path | None
    """The one file that is wanted, if it is one."""
    form: Format
    shards: int
    identity: str
    """Hash of all that decides its bytes."""
    drafts_are_shards: bool
    """Whether a draft becomes the shard as it is."""

    def shard(self, number: int) -> Path:
        """Return the path of a shard."""
        return self.folder / f"part-{number:05}-of-{self.shards:05}.{self.form}"

    def draft(self, number: int) -> Path:
        """Return the hidden path of what the worker wrote."""
        name = self.shard(number).name if self.drafts_are_shards else f"part-{number:05}.jsonl"
        return self.folder / f".{name}"

    def write_draft(self, number: int, data: bytes, facts: Mapping[str, Any]) -> None:
        """Write what was found of a shard, and then its note."""
        files.write_bytes(self.draft(number), data)
        note = {"identity": self.identity, "sha256": hashlib.sha256(data).hexdigest(), **facts}
        files.write_json(self._note(number), note)

    def note(self, number: int) -> dict[str, Any] | None:
        """Return the note of a shard that is done and as it was; None where it is to be done."""
        try:
            note: dict[str, Any] = json.loads(self._note(number).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if note.get("identity") != self.identity:
            return None
        paths = [self.draft(number)]
        paths += [self.shard(number)] if self.drafts_are_shards else []
        for path in paths:
            if path.exists():
                return note if files.sha256_file(path) == note["sha256"] else None
        return None

    def show_draft(self, number: int) -> str:
        """Let a draft become its shard, unless it has before; return its hash."""
        draft, shard = self.draft(number), self.shard(number)
        if draft.exists():
            files.move(draft, shard)
        return files.sha256_file(shard)

    def success(self) -> dict[str, Any] | None:
        """Return what _SUCCESS says; None where there is none, or a file is not what it says."""
        try:
            said: dict[str, Any] = json.loads((self.folder / SUCCESS).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        for name, wanted in said["files"].items():
            path = self.folder / name
            if not path.exists() or files.sha256_file(path) != wanted:
                return None
        if self.file and (not self.file.exists() or files.sha256_file(self.file) != said["joined"]):
            return None
        return said

    def forget_success(self) -> None:
        """Take back _SUCCESS, where a file of the output is gone or another."""
        if (self.folder / SUCCESS).exists():
            files.remove_file(self.folder / SUCCESS)

    def remove_drafts(self) -> None:
        """Remove the drafts that are no shards; notes stay."""
        if not self.drafts_are_shards:
            for number in range(self.shards):
                files.remove_file(self.draft(number))

    def _note(self, number: int) -> Path:
        return self.folder / f".part-{number:05}.json"


def folder_of(output: Path) -> tuple[Path, Path | None]:
    """Return the folder of the shards, and the file that is wanted where the name is of one."""
    if output.suffix.lower().removeprefix(".") not in FORMATS or output.is_dir():
        if output.exists() and not output.is_dir():
            raise InputError("output", f"{output}: is a file; name a folder, or a .csv, .jsonl ...")
        return output, None
    return output.with_name(output.name + PARTS), output


def remembered_of(folder: Path, identity: Mapping[str, Any], file: Path | None) -> Any:
    """Return what the folder remembers; None where it is new.

    Raises InputError for a folder of another identity, or one that holds something else.
    """
    found = _read_identity(folder)
    if found is None:
        strange = [path.name for path in _entries(folder) if not _is_ours(path.name)]
        if strange:
            names = ", ".join(sorted(strange)[:5])
            raise InputError(
                "output", f"{folder}: holds something else ({names}); give a folder of its own"
            )
        if file and file.exists():
            raise InputError("output", f"{file}: exists already; give another name, or remove it")
        return None
    known = found.pop(_KNOWN)
    if problem := _difference(found, json.loads(files.canonical_json(identity))):
        raise InputError("output", f"{folder}: {problem}; give another output, or remove this one")
    return known


def write_identity(
    folder: Path, identity: Mapping[str, Any], known: Any, file: Path | None
) -> None:
    """Say whose the folder is; of several that begin at the same time, one does."""
    data = files.canonical_json({**identity, _KNOWN: known})
    if not files.create_by_link(folder / IDENTITY, data):
        remembered_of(folder, identity, file)


@contextlib.contextmanager
def hold_part(folder: Path, part: Part) -> Iterator[None]:
    """Keep a second process from the same part; BusyError where one has it, or divides the output
    otherwise."""
    own = folder / f".lock-{part.number}-of-{part.of}"
    others = [path for path in _entries(folder) if path.name.startswith(".lock-")]
    for path in others:
        is_other = not path.name.endswith((f"-of-{part.of}", ".holder"))
        if is_other and is_locked(path):
            raise BusyError(f"{path}: held, with another --shard; try again when it has ended")
    with hold_lock(own, f"shard {part.number}/{part.of}"):
        if part.of == 1:
            files.remove_unfinished(folder)
        yield


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_ours(name: str) -> bool:
    """Return whether a start leaves files of this name before it has an identity."""
    return name.startswith(".lock-") or name.endswith(files.UNFINISHED)


def _read_identity(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / IDENTITY).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in words what makes two identities two; empty where they are one."""
    for key in ("version", *sorted({*before, *now})):
        was, is_now = before.get(key), now.get(key)
        if was == is_now:
            continue
        if key == "input":
            return _changed_input(was or [], is_now or [])
        if key == "settings":
            was, is_now = was or {}, is_now or {}
            names = [name for name in sorted({*was, *is_now}) if was.get(name) != is_now.get(name)]
            pairs = [f"{name} was {was.get(name)!r}, is {is_now.get(name)!r}" for name in names]
            return f"is of other settings ({'; '.join(pairs)})"
        return f"is of another {key} ({was}, not {is_now})"
    return ""


def _changed_input(before: list[dict[str, str]], now: list[dict[str, str]]) -> str:
    """Return which file is another one, or how many there are."""
    for was, is_now in zip(before, now, strict=False):
        if was["sha256"] != is_now["sha256"]:
            what = "changed since the start" if was["name"] == is_now["name"] else "is another"
            return f"is of another input: {is_now['name']} {what}"
    return f"is of another input: it had {len(before)} files, and now there are {len(now)}"
