"""Every write, fsync, rename and link of the project: a reader sees the whole of a file or nothing.

What a function here has returned from survives a kill and a power cut (`append_line`, a log, a
kill only). What was cut short leaves at most a hidden, never reused name beside its target, so
whoever lists a folder skips names that begin with a dot.
"""

import hashlib
import itertools
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_READ_ONLY = 0o444
UNFINISHED = ".unfinished"
"""How the hidden names end that a kill leaves."""


def canonical_json(value: Any) -> bytes:
    """One value, one spelling: sorted keys, indented by 1, UTF-8, a newline at the end.

    NaN and infinity, which JSON lacks, raise ValueError; a lone surrogate is written as its escape.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", errors="backslashreplace") + b"\n"


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; the file is never whole in memory."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """`path` holds `data`; a reader sees the old bytes or the new. Missing folders are made."""
    with _replacing(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """`path` holds `text` in UTF-8, as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """`path` holds `value` as canonical JSON, as `write_bytes`."""
    write_bytes(path, canonical_json(value))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """`path` holds `lines`, each ended by a newline, as `write_bytes`; not all are in memory."""
    with _replacing(path) as stream:
        stream.writelines(line.encode("utf-8") + b"\n" for line in lines)


def copy_file(source: Path, target: Path) -> None:
    """`target` holds the bytes of `source`, as `write_bytes`."""
    with open(source, "rb") as original, _replacing(target) as stream:
        shutil.copyfileobj(original, stream)


@contextmanager
def new_folder(target: Path, *, read_only: bool = False) -> Iterator[Path]:
    """A hidden folder to fill: it becomes `target` when the block ends, or is gone if it raises.

    FileExistsError where `target` exists already, at the start or by the end. With `read_only`
    the files (not the folders) lose their write permission first.
    """
    _refuse_existing(target)
    make_folder(target.parent)
    hidden = _hidden_beside(target)
    hidden.mkdir()
    try:
        yield hidden
        _settle(hidden, read_only)
        _refuse_existing(target)
        try:
            os.rename(hidden, target)
        except OSError:
            # Another made it since the look above; rename refuses a folder that is not empty.
            _refuse_existing(target)
            raise
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    _fsync(target.parent)


def remove_folder(path: Path) -> None:
    """`path` is gone, at once for every reader: it is hidden first and emptied after."""
    hidden = _hidden_beside(path)
    os.rename(path, hidden)
    _fsync(path.parent)
    shutil.rmtree(hidden)


def move(path: Path, target: Path) -> None:
    """`path` has the name `target`, beside it; OSError where that is a folder with files."""
    assert path.parent == target.parent, f"{path} and {target} are not side by side"
    os.rename(path, target)
    _fsync(target.parent)


def sweep(hidden: Path) -> None:
    """A hidden file or folder, which no reader sees, is gone."""
    assert hidden.name.startswith("."), f"only what is hidden is swept, got {hidden}"
    if hidden.is_dir() and not hidden.is_symlink():
        shutil.rmtree(hidden)
    else:
        hidden.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """What kills left hidden in `folder` is gone. The caller holds the lock of all its writers."""
    for entry in folder.glob(f".*{UNFINISHED}"):
        sweep(entry)
    _fsync(folder)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder for what nobody keeps; it is gone at the end, also after an error."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def make_folder(path: Path) -> None:
    """`path` is a folder, its missing parents made; an existing one is left as it is."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _fsync(path.parent)


def create_by_link(path: Path, data: bytes) -> bool:
    """Whether this call made `path`, whole: of many callers, in any process, one gets True."""
    make_folder(path.parent)
    hidden = _hidden_beside(path)
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
    """`link` is a symbolic link to `target_name`; there is no moment without it."""
    hidden = _hidden_beside(link)
    try:
        os.symlink(target_name, hidden)
        os.replace(hidden, link)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    _fsync(link.parent)


def append_line(path: Path, text: str) -> None:
    """One more line at the end of a log; a line that an earlier kill tore is ended first."""
    make_folder(path.parent)
    line = text.encode("utf-8") + b"\n"
    with open(path, "a+b") as stream:
        if stream.tell() > 0:
            stream.seek(-1, os.SEEK_END)
            line = line if stream.read(1) == b"\n" else b"\n" + line
        stream.write(line)


def truncate_lines(path: Path, keep: Callable[[str], bool]) -> None:
    """A log keeps its lines up to the first that `keep` refuses; a torn last line goes as well.

    `keep` sees a line without its newline. A log that is not there stays so.
    """
    if not path.exists():
        return
    *whole, _ = path.read_bytes().split(b"\n")
    kept = itertools.takewhile(lambda line: keep(line.decode("utf-8", errors="replace")), whole)
    write_bytes(path, b"".join(line + b"\n" for line in kept))


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream into a hidden file, which takes the place of `path` when the block ends well."""
    make_folder(path.parent)
    hidden = _hidden_beside(path)
    try:
        with open(hidden, "xb") as stream:
            yield stream
            _write_through(stream)
        os.replace(hidden, path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    _fsync(path.parent)


def _hidden_beside(path: Path) -> Path:
    """A hidden name in the folder of `path` that nobody has used or will use."""
    return path.with_name(f".{uuid.uuid4().hex}{UNFINISHED}")


def _refuse_existing(target: Path) -> None:
    """FileExistsError where there is anything at `target`, were it a broken link."""
    if os.path.lexists(target):
        raise FileExistsError(f"{target}: exists already")


def _settle(folder: Path, read_only: bool) -> None:
    """All that lies in `folder`, and the folder itself, is on the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if read_only:
                path.chmod(_READ_ONLY)
            _fsync(path)
        _fsync(Path(parent))


def _write_through(stream: BinaryIO, data: bytes = b"") -> None:
    """`data` and all that was written before it is on the disk."""
    stream.write(data)
    stream.flush()
    os.fsync(stream.fileno())


def _fsync(path: Path) -> None:
    """The bytes of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
