"""`python -m textvae.cli`: the same as `textvae`."""

import sys

from textvae.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
