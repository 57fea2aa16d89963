"""`textvae` and `python -m textvae.cli`: a package that does not fit is an error in words."""

import os
import sys

from textvae.cli.programs import PROGRAMS
from textvae.errors import TextVaeError


def main() -> int:
    """Run the command line; return its exit code."""
    command, *arguments = sys.argv[1:] or [""]
    if command in PROGRAMS:
        # Of the client, which takes a while to import, nothing is needed.
        return _run(command, arguments)
    try:
        from textvae.cli.commands import main as run
    except ImportError as error:
        sys.stderr.write(f"textvae: {error}\n")
        return os.EX_NOINPUT
    return run()


def _run(command: str, arguments: list[str]) -> int:
    """Run a command that calls no server; return its exit code."""
    try:
        PROGRAMS[command].run(arguments)
    except TextVaeError as error:
        sys.stderr.write(f"textvae: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"textvae: {error}\n")
        return os.EX_IOERR
    return 0


if __name__ == "__main__":
    sys.exit(main())
