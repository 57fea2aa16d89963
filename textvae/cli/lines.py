"""Sentences of the command line, of stdin, a line each, or of a file with columns."""

import argparse
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import Any

from textvae.cli.items import Item, Source, blank_item, source_of
from textvae.errors import InputError, TextVaeError

PIECE_BYTES = 64 * 1024
"""Most bytes of one read; a pipe that has fewer gives those, and they are asked for at once."""
LINE_BYTES_MAX = 1 << 20
HEADERS = ("text", "texts", "sentence", "sentences", "utterance", "utterances")
"""A first line of one of these words alone is the header of a file of one column."""
SEPARATORS = ",;\t|"

_ITEM = re.compile(r"(?:sentences|points|latents)\[(?P<number>\d+)\](?:\.sentence)?")


def sentence_source(flags: argparse.Namespace) -> Source:
    """Return the sentences of the command line, else of --input, else of stdin.

    Raises InputError where there is none at all.
    """
    if flags.input is not None:
        from textvae.cli.columns import file_source

        if flags.sentences:
            raise InputError("sentences", "must not be named with --input; give one of the two")
        return file_source(flags)
    for flag in ("text_column", "delimiter"):
        if getattr(flags, flag):
            name = f"--{flag.replace('_', '-')}"
            raise InputError(name, "is of a file with columns; name the file with --input")
    if flags.sentences:
        return source_of(list(flags.sentences), "sentence")
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("sentences", "must be at least one; stdin is closed, so name it")
    if sys.stdin.isatty():
        raise InputError("sentences", "must be at least one; name it, or pipe in one a line")
    stream = sys.stdin.buffer
    return Source(_pieces(stream, flags), "line", " of stdin", _count_lines(stream))


def all_sentences(flags: argparse.Namespace, source: Source) -> list[str]:
    """Return all sentences at once, as the points of a path; an unsound one is an InputError.

    `flags.lines` gets the number of each.
    """
    flags.lines, sentences = [], []
    for piece in source.pieces:
        for item in piece:
            if item.problem:
                raise InputError(source.place(item.number), item.problem)
            flags.lines.append(item.number)
            sentences.append(item.value)
    return sentences


def _pieces(stream: Any, flags: argparse.Namespace) -> Iterator[list[Item]]:
    """Yield the lines of stdin as they arrive; InputError where there is none."""
    number, found, rest, is_overlong = 0, False, b"", False
    while True:
        read = stream.read1(PIECE_BYTES)
        lines = (rest + read).split(b"\n")
        # What follows the last line end is the beginning of a line, or at the end a line itself.
        rest = lines.pop() if read or not lines[-1] else b""
        items = []
        for line in lines:
            number += 1
            items += _item(number, line, flags.skip_blank, is_overlong=is_overlong)
            is_overlong = False
        if number == len(lines) and lines:
            _warn_of_columns(lines)
        if len(rest) > LINE_BYTES_MAX:
            rest, is_overlong = b"", True
        if items:
            found = True
            yield items
        if not read:
            break
    if not found:
        raise InputError("sentences", "must be at least one; stdin holds none")


def _item(number: int, line: bytes, skip_blank: bool, *, is_overlong: bool) -> list[Item]:
    """Return the item of a line; none for a blank one that is to be left out."""
    if is_overlong or len(line) > LINE_BYTES_MAX:
        problem = f"must be at most {LINE_BYTES_MAX} bytes; pipe in a sentence a line"
        return [Item(number, problem=problem)]
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
        return [Item(number, problem=f"{byte}; pipe in UTF-8")]
    # Lines of Windows end in two characters; elsewhere a carriage return is white space.
    text = text.rstrip("\r").replace("\r", " ")
    return blank_item(number, skip_blank) if not text.strip() else [Item(number, text)]


def _count_lines(stream: Any) -> int | None:
    """Return the lines of stdin where it is a file; None for a pipe."""
    try:
        descriptor = stream.fileno()
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        position, lines, last = os.lseek(descriptor, 0, os.SEEK_CUR), 0, b"\n"
    except OSError:
        return None
    while data := os.pread(descriptor, 1 << 20, position):
        position += len(data)
        lines += data.count(b"\n")
        last = data[-1:]
    return lines + (last != b"\n")


def _warn_of_columns(lines: list[bytes]) -> None:
    """Say on stderr where the first lines are plainly a table or objects, not sentences."""
    first, *others = (line.decode("utf-8-sig", "replace").strip() for line in lines[:5])
    kind = ".jsonl" if _is_object(first) else _table_of(first, [one for one in others if one])
    if kind:
        what = "an object of JSON" if kind == ".jsonl" else "the header of a table"
        sys.stderr.write(
            f"textvae: warning: line 1 of stdin looks like {what}, and every line is taken as one "
            f"sentence; for a file with columns give --input FILE{kind} --text-column NAME\n"
        )


def _is_object(line: str) -> bool:
    """Return whether a line is an object of JSON."""
    try:
        return line.startswith("{") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _table_of(first: str, others: list[str]) -> str:
    """Return the suffix of the table whose header the first line plainly is; empty for none."""
    from textvae.corpus.columns import is_plain

    if first.lower().strip('"') in HEADERS:
        return ".csv"
    for separator in SEPARATORS:
        names = [name.strip().strip('"') for name in first.split(separator)]
        if len(names) > 1 and all(name and is_plain(name) for name in names):
            rows = [line.count(separator) >= len(names) - 1 for line in others]
            if rows and all(rows):
                return ".tsv" if separator == "\t" else ".csv"
    return ""


def item_of(error: TextVaeError) -> int | None:
    """Return the number, from 0, of the item that an error is about; None for another error."""
    if not isinstance(error, InputError):
        return None
    found = _ITEM.fullmatch(error.field) or re.search(_ITEM, error.problem)
    return int(found["number"]) if found else None


def problem_of(error: InputError, place: str) -> str:
    """Return what is wrong with the item that an error is about, in words without its number."""
    if _ITEM.fullmatch(error.field):
        return error.problem
    return f"{error.field}: {_ITEM.sub(place, error.problem)}"


def as_counted(error: TextVaeError, flags: argparse.Namespace) -> str:
    """Return the error's message with the number of the line or sentence, from 1."""
    number = item_of(error)
    if number is None or not isinstance(error, InputError):
        return str(error)
    lines: list[int] = getattr(flags, "lines", [])
    source: Source | None = getattr(flags, "source", None)
    place = source.place(lines[number]) if lines and source else f"sentence {number + 1}"
    return f"{place}: {problem_of(error, place)}"
