"""Every write, fsync, rename and link of the project: a reader sees a complete file or none.

The effect of a function that has returned survives a kill and a power cut (`append_line`: a kill
only). An interrupted call leaves at most a hidden, never reused name next to its target, so code
that lists a folder skips names that begin with a dot.
"""

import hashlib
import itertools
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_READ_ONLY = 0o444
UNFINISHED = ".unfinished"
"""The suffix of the hidden names that a kill leaves."""


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a value: sorted keys, indent 1, UTF-8, a newline at the end.

    NaN and infinity, which JSON lacks, raise ValueError; a lone surrogate is written as its escape.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", errors="backslashreplace") + b"\n"


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal, without loading the file at once."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`; a reader sees the old bytes or the new. Makes missing folders."""
    with _open_replacement(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8, as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as canonical JSON, as `write_bytes`."""
    write_bytes(path, canonical_json(value))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Replace `path` by `lines`, a newline after each, as `write_bytes`; streams them."""
    with _open_replacement(path) as stream:
        stream.writelines(line.encode("utf-8") + b"\n" for line in lines)


def copy_file(source: Path, target: Path) -> None:
    """Replace `target` by the bytes of `source`, as `write_bytes`."""
    with open(source, "rb") as original, _open_replacement(target) as stream:
        shutil.copyfileobj(original, stream)


def write_parts(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Replace `path` by what `write` writes to a stream, as `write_bytes`."""
    with _open_replacement(path) as stream:
        write(stream)


@contextmanager
def new_folder(target: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Yield a hidden folder to fill, which becomes `target` when the block ends.

    An exception removes it. Raises FileExistsError where `target` exists, at the start or by the
    end. With `read_only` the files (not the folders) lose their write permission first.
    """
    _refuse_existing(target)
    make_folder(target.parent)
    hidden = _hidden_path(target)
    hidden.mkdir()
    try:
        yield hidden
        _sync_tree(hidden, read_only)
        _refuse_existing(target)
        try:
            os.rename(hidden, target)
        except OSError:
            # Another process made it since the check; rename refuses a folder that is not empty.
            _refuse_existing(target)
            raise
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    _fsync(target.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder, at once for every reader: it is hidden first and emptied after."""
    hidden = _hidden_path(path)
    os.rename(path, hidden)
    _fsync(path.parent)
    shutil.rmtree(hidden)


def remove_file(path: Path) -> None:
    """Remove a file, unless it is gone already."""
    path.unlink(missing_ok=True)
    _fsync(path.parent)


def move(path: Path, target: Path) -> None:
    """Rename `path` to `target` in the same folder; OSError where that is a folder with files."""
    assert path.parent == target.parent, f"{path} and {target} are not in one folder"
    os.rename(path, target)
    _fsync(target.parent)


def sweep(hidden: Path) -> None:
    """Remove a hidden file or folder, which no reader sees."""
    assert hidden.name.startswith("."), f"the name must begin with a dot, got {hidden}"
    if hidden.is_dir() and not hidden.is_symlink():
        shutil.rmtree(hidden)
    else:
        hidden.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what kills left hidden in `folder`. The caller holds the lock of all its writers."""
    for entry in folder.glob(f".*{UNFINISHED}"):
        sweep(entry)
    _fsync(folder)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a temporary folder, which is removed when the block ends, also after an error."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def make_folder(path: Path) -> None:
    """Make the folder and its missing parents; an existing one stays as it is."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _fsync(path.parent)


def create_by_link(path: Path, data: bytes) -> bool:
    """Make `path`, complete, unless it exists; of many callers, in any process, one gets True."""
    make_folder(path.parent)
    hidden = _hidden_path(path)
    try:
        with open(hidden, "xb") as stream:
            _write_through(stream, data)
        try:
            os.link(hidden, path)
        except FileExistsError:
            return False
    finally:
        hidden.unlink(missing_ok=True)
    _fsync(path.parent)
    return True


def point_link(link: Path, target_name: str) -> None:
    """Point a symbolic link to `target_name`; there is no moment without the link."""
    hidden = _hidden_path(link)
    try:
        os.symlink(target_name, hidden)
        os.replace(hidden, link)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    _fsync(link.parent)


def append_line(path: Path, text: str) -> None:
    """Append a line to a log; a line that an earlier kill tore is ended first."""
    append_lines(path, [text])


def append_lines(path: Path, texts: Sequence[str]) -> None:
    """Append lines to a log, as `append_line` does; without any, only make sure that it can be."""
    make_folder(path.parent)
    lines = b"".join(text.encode("utf-8") + b"\n" for text in texts)
    with open(path, "a+b") as stream:
        if lines and stream.tell() > 0:
            stream.seek(-1, os.SEEK_END)
            lines = lines if stream.read(1) == b"\n" else b"\n" + lines
        stream.write(lines)


def truncate_lines(path: Path, keep: Callable[[str], bool]) -> None:
    """Cut a log before the first line that `keep` rejects, and drop a torn last line.

    `keep` gets a line without its newline. A missing log stays missing.
    """
    if not path.exists():
        return
    *lines, _ = path.read_bytes().split(b"\n")
    first = itertools.takewhile(lambda line: keep(line.decode("utf-8", errors="replace")), lines)
    write_bytes(path, b"".join(line + b"\n" for line in first))


@contextmanager
def _open_replacement(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream into a hidden file, which replaces `path` when the block ends well."""
    make_folder(path.parent)
    hidden = _hidden_path(path)
    try:
        with open(hidden, "xb") as stream:
            yield stream
            _write_through(stream)
        os.replace(hidden, path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    _fsync(path.parent)


def _hidden_path(path: Path) -> Path:
    """Return a hidden path in the folder of `path` that was never used and never will be."""
    return path.with_name(f".{uuid.uuid4().hex}{UNFINISHED}")


def _refuse_existing(target: Path) -> None:
    """Raise FileExistsError where anything is at `target`, be it a broken link."""
    if os.path.lexists(target):
        raise FileExistsError(f"{target}: exists already")


def _sync_tree(folder: Path, read_only: bool) -> None:
    """Flush `folder` and all that is in it to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if read_only:
                path.chmod(_READ_ONLY)
            _fsync(path)
        _fsync(Path(parent))


def _write_through(stream: BinaryIO, data: bytes = b"") -> None:
    """Write `data` and flush it and all before it to the disk."""
    stream.write(data)
    stream.flush()
    os.fsync(stream.fileno())


def _fsync(path: Path) -> None:
    """Flush the bytes of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
