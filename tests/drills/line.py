"""The line that every drill ends with."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn


class Found(NamedTuple):
    """What a drill saw, and what it had to see."""

    figures: Mapping[str, float]
    targets: Mapping[str, float]
    held: bool


def run_drill(name: str, drill: Callable[[bool], Found]) -> NoReturn:
    """Run the drill, quick where the command line says so; exit code 0 where it held, else 1."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(prog=f"python -m tests.drills.{name}")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    found = drill(parser.parse_args().quick)
    print(json.dumps({"name": name, **found._asdict()}), flush=True)
    raise SystemExit(0 if found.held else 1)
