"""Sentences of files of JSON lines, as a sequence that need not fit in memory.

Large files are mapped: a sentence is read and parsed on access, and the memory holds eight bytes
per sentence and the pages that the system caches.
"""

import bisect
import hashlib
import itertools
import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from textvae.text.sentence import Sentence

# A map needs a file handle, of which a process has about a thousand; the spans of a year of nightly
# runs would take them all, for files that are smaller together than the model.
MAPPED_FROM_BYTES = 4 << 20
PIECE_BYTES = 16 << 20
NEWLINE = 0x0A


class Lines(NamedTuple):
    """The bytes of one file of JSON lines."""

    data: bytes | mmap.mmap
    sha256: str
    """Of these very bytes, whatever becomes of the path later."""
    ends: npt.NDArray[np.int64]
    """(lines,) byte offset of each line's end."""


def read_lines(path: Path) -> Lines:
    """Return the file's lines, hashed and counted in one pass. Raises OSError."""
    data: bytes | mmap.mmap
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        if size >= MAPPED_FROM_BYTES:
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            stream.seek(0)
            data = stream.read()
    digest, ends = hashlib.sha256(), [np.zeros(0, np.int64)]
    with memoryview(data) as view:
        for start in range(0, len(data), PIECE_BYTES):
            with view[start : start + PIECE_BYTES] as piece:
                digest.update(piece)
                ends.append(start + np.flatnonzero(np.array(piece) == NEWLINE))
    return Lines(data, digest.hexdigest(), np.concatenate(ends))


class Sentences(Sequence[Sentence]):
    """The sentences of several files, in order."""

    def __init__(self, files: Sequence[Lines]) -> None:
        """Take verified files, each line a sentence of `sentence_lines`."""
        self._files = [file for file in files if len(file.ends)]
        counts = (len(file.ends) for file in self._files)
        self._firsts = [0, *itertools.accumulate(counts)]

    def __len__(self) -> int:
        """Return the number of sentences."""
        return self._firsts[-1]

    @overload
    def __getitem__(self, index: int) -> Sentence: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sentence]: ...
    def __getitem__(self, index: int | slice) -> Sentence | list[Sentence]:
        """Return the sentence at an index, or those of a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"sentence {index} of {len(self)}")
        file = bisect.bisect_right(self._firsts, number) - 1
        return _at(self._files[file], int(number) - self._firsts[file])

    def __iter__(self) -> Iterator[Sentence]:
        """Yield all sentences in order."""
        return (_at(file, line) for file in self._files for line in range(len(file.ends)))


def sentence_lines(sentences: Sequence[Sentence]) -> bytes:
    """Return sentences as JSON lines, without empty fields."""
    rows = ({key: value for key, value in row._asdict().items() if value} for row in sentences)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def _at(file: Lines, line: int) -> Sentence:
    """Return the sentence of one line, counted from 0."""
    start = int(file.ends[line - 1]) + 1 if line else 0
    return Sentence(**json.loads(file.data[start : file.ends[line]]))
