"""Sentences of files of JSON lines, as a sequence that is never whole in memory.

Large files are mapped: a sentence is read and parsed when it is asked for, and what lies in memory
is eight bytes a sentence and the pages that the system likes to keep.
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

# A map holds a file handle, of which a process has about a thousand; a year of nights would take
# them all for files that are smaller together than the model.
MAPPED_FROM_BYTES = 4 << 20
PIECE_BYTES = 16 << 20
NEWLINE = 0x0A


class Lines(NamedTuple):
    """The bytes of one file of JSON lines."""

    data: bytes | mmap.mmap
    sha256: str
    """Of these very bytes, whatever becomes of the path later."""
    ends: npt.NDArray[np.int64]
    """(lines,) where each line's end stands."""


def read_lines(path: Path) -> Lines:
    """The file's lines, hashed and counted in one pass. Raises OSError."""
    data: bytes | mmap.mmap
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        if size >= MAPPED_FROM_BYTES:
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            stream.seek(0)
            data = stream.read()
    digest, ends = hashlib.sha256(), [np.zeros(0, np.int64)]
    with memoryview(data) as whole:
        for start in range(0, len(data), PIECE_BYTES):
            with whole[start : start + PIECE_BYTES] as piece:
                digest.update(piece)
                ends.append(start + np.flatnonzero(np.array(piece) == NEWLINE))
    return Lines(data, digest.hexdigest(), np.concatenate(ends))


class Sentences(Sequence[Sentence]):
    """The sentences of some files, one after the other."""

    def __init__(self, files: Sequence[Lines]) -> None:
        """`files`: verified by whoever read them; each line is a sentence of `sentence_lines`."""
        self._files = [file for file in files if len(file.ends)]
        counts = (len(file.ends) for file in self._files)
        self._firsts = [0, *itertools.accumulate(counts)]

    def __len__(self) -> int:
        """How many sentences there are."""
        return self._firsts[-1]

    @overload
    def __getitem__(self, place: int) -> Sentence: ...
    @overload
    def __getitem__(self, place: slice) -> list[Sentence]: ...
    def __getitem__(self, place: int | slice) -> Sentence | list[Sentence]:
        """The sentence at a place, or those of a slice."""
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = place + len(self) if place < 0 else place
        if not 0 <= number < len(self):
            raise IndexError(f"sentence {place} of {len(self)}")
        file = bisect.bisect_right(self._firsts, number) - 1
        return _at(self._files[file], int(number) - self._firsts[file])

    def __iter__(self) -> Iterator[Sentence]:
        """All sentences in order."""
        return (_at(file, line) for file in self._files for line in range(len(file.ends)))


def sentence_lines(sentences: Sequence[Sentence]) -> bytes:
    """Sentences as JSON lines, empty fields left out."""
    rows = ({key: value for key, value in row._asdict().items() if value} for row in sentences)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def _at(file: Lines, line: int) -> Sentence:
    """The sentence of one line, from 0."""
    start = int(file.ends[line - 1]) + 1 if line else 0
    return Sentence(**json.loads(file.data[start : file.ends[line]]))
