"""python -m textvae.serve: the server's command line, its log, and its exit codes."""

import argparse
import asyncio
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from textvae.config.data import StoreConfig
from textvae.config.serve import ServeConfig
from textvae.errors import TextVaeError
from textvae.pipes import ignore_closed_pipes
from textvae.settings import read_toml, refuse_empty_paths
from textvae.threads import configure_threads

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flags:
    """Serves a model's champion over gRPC until SIGTERM, and follows its promotions."""

    config: Path | None = None
    """TOML file whose sections [store] and [serve] are the defaults of the flags below."""
    registry: Path = StoreConfig.registry
    """Folder of published versions, one folder per model."""
    model: str = StoreConfig.model
    """Name of the model in the registry."""
    version: str = ""
    """Version to serve always (its name, or newest); empty for the champion and its successors."""
    serve: Annotated[ServeConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=ServeConfig)


def main(arguments: list[str] | None = None) -> int:
    """Serve; return exit code 0 after a drain, else that of the error."""
    ignore_closed_pipes()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        flags = _flags(sys.argv[1:] if arguments is None else arguments)
        configure_threads()
        # Imports torch, which reads how its threads wait.
        from textvae.serve.server import serve

        asyncio.run(serve(flags.registry, flags.model, flags.version, flags.serve))
    except TextVaeError as error:
        print(f"textvae serve: {error}", file=sys.stderr)  # noqa: T201 - the output of a command
        return error.exit_code
    except OSError as error:
        print(f"textvae serve: {error}", file=sys.stderr)  # noqa: T201 - the output of a command
        return os.EX_IOERR
    return 0


def _flags(arguments: list[str]) -> Flags:
    """Parse the flags; the TOML file, if one is named, has their defaults."""
    refuse_empty_paths((Flags,), arguments)
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--config", type=Path)
    path = early.parse_known_args(arguments)[0].config
    sections = read_toml(path) if path else {}
    if others := [f"[{name}]" for name in sections if name not in ("store", "serve")]:
        _log.info("%s: not for serve, which takes [store] and [serve]: %s", path, ", ".join(others))
    store = sections.get("store", StoreConfig())
    defaults = Flags(
        registry=store.registry, model=store.model, serve=sections.get("serve", ServeConfig())
    )
    return tyro.cli(Flags, prog="textvae serve", default=defaults, args=arguments)


if __name__ == "__main__":
    sys.exit(main())
