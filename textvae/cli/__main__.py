"""`textvae` and `python -m textvae.cli`: a package that does not fit is an error in words."""

import os
import sys


def main() -> int:
    """Run the command line; return its exit code."""
    try:
        from textvae.cli.commands import main as run
    except ImportError as error:
        sys.stderr.write(f"textvae: {error}\n")
        return os.EX_NOINPUT
    return run()


if __name__ == "__main__":
    sys.exit(main())
