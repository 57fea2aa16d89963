"""Commands of the settings: a program and its arguments, which no shell reads."""

import json
import re
import shlex
from collections.abc import Iterator

from textvae.errors import InputError

_OPERATORS = (
    ("&&", "and then"),
    ("||", "or else"),
    (">>", "append to a file"),
    ("<<", "here document"),
    (">", "write to a file"),
    ("<", "read from a file"),
    ("|", "pipe"),
    (";", "and then"),
    ("&", "in the background"),
    ("(", "subshell"),
    (")", "subshell"),
    ("\n", "next line"),
)
"""What a shell takes for more than a character outside quotes, and what it means there; the longer
ones first."""
_EXPANSION = re.compile(r"\$\(|\$\{\w*\}?|\$\w+|\$[?$!@*#-]|`")
"""What a shell replaces, also within double quotes."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_SHELL_WORDS = (
    " ! . : alias case cd eval exec exit export for function if read set shift source trap ulimit "
    "umask unset until while { "
)
"""First words of a shell's own, which are no programs."""


def check_command(field: str, command: str) -> None:
    """Raise InputError for a command that only a shell could run, with the command that runs it.

    A command is split into words as by a shell, with its quotes, and nothing else of it is read:
    `a > b` would give the program `a` the arguments `>` and `b`.
    """
    command = command.strip()
    if not command:
        return
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(
            field, f"{str(error).lower()} in {command!r}; close it, or put \\ before it"
        ) from None
    if found := _shell_syntax(command, words):
        line = json.dumps(f"sh -c {shlex.quote(command)}", ensure_ascii=False)
        raise InputError(
            field,
            f"is a program and its arguments, no line of a shell, so that {found} would be handed "
            f"to the program as it is; for the shell's meaning write {field.rpartition('.')[2]} = "
            f"{line}, for the character itself put it in single quotes",
        )


def _shell_syntax(command: str, words: list[str]) -> str:
    """Return the first thing of a command that only a shell understands; empty for none."""
    if _ASSIGNMENT.match(words[0]):
        return f"the variable {words[0].partition('=')[0]}= before the program"
    if f" {words[0]} " in _SHELL_WORDS:
        return f"{words[0]}, which is a word of the shell and no program,"
    for place, quotes, at_start in _characters(command):
        rest = command[place:]
        if quotes != "'" and (expansion := _EXPANSION.match(rest)):
            return expansion[0]
        if quotes:
            continue
        for operator, meaning in _OPERATORS:
            if rest.startswith(operator):
                return f"{operator.strip() or 'a line break'} ({meaning})"
        if at_start and (home := re.match(r"~[\w.-]*(?=/|\s|$)", rest)):
            return f"{home[0]} (a home folder)"
        if at_start and rest[0] == "#":
            return "# (a comment)"
        if rest[0] == "*":
            return "* (names of files)"
    return ""


def _characters(command: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the place of each character that is neither a quote nor escaped, the quotes that it
    stands in, and whether it begins a word."""
    quotes, escaped, at_start = "", False, True
    for place, character in enumerate(command):
        if escaped:
            escaped, at_start = False, False
        elif character == "\\" and quotes != "'":
            escaped = True
        elif quotes and character == quotes:
            quotes = ""
        elif not quotes and character in "'\"":
            quotes, at_start = character, False
        else:
            yield place, quotes, at_start
            at_start = not quotes and character in " \t"
