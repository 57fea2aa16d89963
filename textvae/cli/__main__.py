"""`textvae` and `python -m textvae.cli`: a package that does not fit is an error in words."""

import os
import sys

from textvae.cli.programs import PROGRAMS, run_program


def main() -> int:
    """Run the command line; return its exit code."""
    words = sys.argv[1:]
    if words and words[0] in PROGRAMS:
        # Of the client, which takes a while to import, nothing is needed.
        return run_program(words)
    try:
        from textvae.cli.commands import main as run
    except ImportError as error:
        sys.stderr.write(f"textvae: {error}\n")
        return os.EX_NOINPUT
    return run()


if __name__ == "__main__":
    sys.exit(main())
