"""The lines of text files, as they are or packed by gzip or Zstandard."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from textvae.errors import DataError, NotFoundError
from textvae.installation import how_to_install

PACKED = (".gz", ".zst")
LINE_CHARACTERS_MAX = 64 << 20
# Text packs to a tenth, a log that repeats itself to a hundredth; what unpacks to more is no text.
RATIO_MAX = 200
UNPACKED_BYTES_MIN = 64 << 20
"""Up to here no ratio is asked for."""


class _Bounded(io.RawIOBase):
    """The bytes of a packed file, which may not be many times as large as the file."""

    def __init__(self, path: Path, stream: Any) -> None:
        self._path, self._stream, self._read = path, stream, 0
        self._bytes_max = max(UNPACKED_BYTES_MIN, RATIO_MAX * path.stat().st_size)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read as the stream does; raise DataError beyond the limit."""
        data = self._stream.read(len(buffer))
        self._read += len(data)
        if self._read > self._bytes_max:
            raise DataError(
                f"{self._path}: unpacks to more than {RATIO_MAX} times its size; unpack it first"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the stream too."""
        self._stream.close()
        super().close()


def inner_suffix(path: Path) -> str:
    """Return the suffix of what a file holds, `.csv` for both a.CSV and a.csv.gz."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
        return suffixes[-1] if suffixes else ""
    return suffixes[-1] if suffixes else ""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked. OSError, DataError, NotFoundError without pyarrow."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return io.BufferedReader(_Bounded(path, gzip.open(path)))
    if suffix == ".zst":
        try:
            import pyarrow
        except ImportError:
            raise NotFoundError(
                f"{path}: needs pyarrow to be unpacked; {how_to_install('pyarrow')}"
            ) from None
        return io.BufferedReader(
            _Bounded(path, pyarrow.input_stream(str(path), compression="zstd"))
        )
    return open(path, "rb")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers, from 1, and with their ends.

    Raises OSError, UnicodeDecodeError, and DataError for what is no text.
    """
    number = 0
    with open_bytes(path) as packed, io.TextIOWrapper(packed, encoding="utf-8-sig") as stream:
        while line := _next_line(path, stream, number + 1):
            number += 1
            if "\0" in line:
                raise DataError(
                    f"{path}: line {number} holds a NUL byte, so this is no UTF-8 text; "
                    "give a text file"
                )
            yield number, line


def _next_line(path: Path, stream: IO[str], number: int) -> str:
    """Return the next line, empty at the end; DataError where it is endless or badly packed."""
    try:
        line = stream.readline(LINE_CHARACTERS_MAX)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: is not packed as its name says: {error}") from None
    if len(line) == LINE_CHARACTERS_MAX and not line.endswith("\n"):
        raise DataError(
            f"{path}: line {number} has more than {LINE_CHARACTERS_MAX} characters; "
            "give a text file with a sentence a line"
        )
    return line
