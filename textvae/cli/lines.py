"""Sentences of the command line or of stdin, and their places as people count them."""

import argparse
import re
import sys
from collections.abc import Iterator

from textvae.errors import InputError, TextVaeError

_ITEM = re.compile(r"(?:sentences|points)\[(?P<number>\d+)\](?:\.sentence)?")


def read_sentences(flags: argparse.Namespace) -> list[str]:
    """Return the sentences of the command line, else those of stdin, one per line.

    `flags.lines` gets the numbers of their lines. Raises InputError where there is none, and for
    a line that is blank or not UTF-8.
    """
    if flags.sentences:
        return list(flags.sentences)
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("sentences", "must be at least one; stdin is closed, so name it")
    if sys.stdin.isatty():
        raise InputError("sentences", "must be at least one; name it, or pipe in one a line")
    flags.lines, sentences = [], []
    for number, line in _lines():
        if not line.strip():
            if flags.skip_blank:
                continue
            problem = "is blank; take it out, or leave out all such lines with --skip-blank"
            raise InputError(f"line {number} of stdin", problem)
        flags.lines.append(number)
        sentences.append(line)
    if not sentences:
        raise InputError("sentences", "must be at least one; stdin holds none")
    return sentences


def _lines() -> Iterator[tuple[int, str]]:
    """Yield number, from 1, and text of each line of stdin, without end and byte order mark."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
            raise InputError(f"line {number} of stdin", f"{byte}; pipe in UTF-8") from None
        yield number, text.rstrip("\r\n")


def as_counted(error: TextVaeError, flags: argparse.Namespace) -> str:
    """Return the error's message with the number of the line or sentence, from 1."""
    item = _ITEM.fullmatch(error.field) if isinstance(error, InputError) else None
    if item is None or not isinstance(error, InputError):
        return str(error)
    number = int(item["number"])
    lines: list[int] = getattr(flags, "lines", [])
    place = f"line {lines[number]} of stdin" if lines else f"sentence {number + 1}"
    return f"{place}: {error.problem}"
