"""The line that every drill ends with."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn


class Found(NamedTuple):
    """What a drill saw, and what it had to see."""

    figures: Mapping[str, float]
    targets: Mapping[str, float]
    held: bool


class Flag(NamedTuple):
    """What the command line may say next to `--quick`."""

    name: str
    default: Any
    help: str


def run_drill(name: str, drill: Callable[..., Found], *flags: Flag) -> NoReturn:
    """Run the drill, quick where the command line says so; exit code 0 where it held, else 1.

    The drill gets the value of each flag by its name.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(prog=f"python -m tests.drills.{name}")
    parser.add_argument("--quick", action="store_true", help="under a minute or two")
    for flag in flags:
        if flag.default is False:
            parser.add_argument(f"--{flag.name}", action="store_true", help=flag.help)
            continue
        kind = type(flag.default)
        parser.add_argument(f"--{flag.name}", type=kind, default=flag.default, help=flag.help)
    given = vars(parser.parse_args())
    found = drill(given.pop("quick"), **given)
    print(json.dumps({"name": name, **found._asdict()}), flush=True)
    raise SystemExit(0 if found.held else 1)
