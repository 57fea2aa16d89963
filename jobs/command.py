"""What every job does around its work: settings in, one JSON line, result.json and exit code out.

Exit codes: 0 done; 1 a bug of ours; 2 a setting or flag is wrong; 3 rejected; 4 collapsed; 65 the
text breaks its contract; 66 something is missing or corrupt; 74 the disk refused; 75 try again.
A supervisor repeats 74 and 75 alone.
"""

import contextlib
import dataclasses
import getpass
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import tyro

from textvae import files, locks
from textvae.config.data import StoreConfig
from textvae.errors import NotFoundError, TextVaeError
from textvae.installation import how_to_install, job_command, job_module
from textvae.pipes import ignore_closed_pipes
from textvae.settings import read_settings, refuse_empty_paths, sections_of
from textvae.threads import configure_threads

from .sections import (
    check_flags,
    check_preset,
    check_sections,
    sections_taken,
    strange_settings,
)

logger = logging.getLogger(__name__)

Settings = TypeVar("Settings")
_File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]

_BUG, _DISK, _AGAIN = 1, 74, 75


@dataclass(frozen=True)
class _Options:
    """What every job takes next to its settings."""

    config: _File = None
    """TOML file whose sections replace the defaults; flags win over it."""
    preset: Literal["", "default", "edit", "lm", "paraphrase"] = ""
    """Recipe of [model] and [training] under the file's values; empty: as the file says."""
    result: _File = None
    """Where the result is written; by default RUNS/JOB/result.json."""


def run_job(
    name: str,
    kind: type[Settings],
    main: Callable[[Settings], Mapping[str, Any]],
    argv: Sequence[str] | None = None,
    *,
    lock: Callable[[Settings], Path] | None = None,
    ended: Callable[[Settings, Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> NoReturn:
    """Run `main` on the settings of a TOML file and the command line, and end the process.

    `kind` is a frozen dataclass of sections of textvae.config, under their names there, and of
    simple flags of its own. `main` returns the run's result with its `outcome`; that is the last
    line of stdout and the content of result.json, also when the run failed; all else that is
    printed goes to stderr. SIGTERM is raised as KeyboardInterrupt, wherever `main` is.
    A module of a job imports what needs torch inside `main`: by then the threads are configured.
    `lock` is held while `main` runs; a run that finds it held leaves result.json alone.
    `ended` is called with every result, once it is on the disk, and returns what to add to it.
    """
    _set_up_process()
    arguments = sys.argv[1:] if argv is None else list(argv)
    options, _ = tyro.cli(_Options, args=arguments, return_unknown_args=True, add_help=False)
    path, settings, waits = options.result, None, False
    with contextlib.ExitStack() as stack:
        try:
            settings = _settings(name, kind, options, arguments)
            waits = lock is not None
            if lock:
                stack.enter_context(locks.hold_lock(lock(settings), name))
            waits = False
            store = getattr(settings, "store", StoreConfig())
            path = path or store.runs / name / "result.json"
            logger.info("%s", configure_threads())
            _check_devices(settings)
            with contextlib.redirect_stdout(sys.stderr):
                result = {"exit_code": 0, **main(settings), "job": name}
            assert "outcome" in result, f"{name} must return an outcome, got {sorted(result)}"
            if not _is_helper_rank():
                files.write_json(path, result)
        except (Exception, KeyboardInterrupt) as error:
            result = {"job": name, **_failure(kind, error)}
            if waits:
                path = None
            _write_failure(path, result)
        if ended and settings is not None and (more := ended(settings, result)):
            result = {**result, **more}
            _write_failure(path, result)
    if not _is_helper_rank():
        print(json.dumps(result, sort_keys=True), flush=True)
    raise SystemExit(result["exit_code"])


def actor() -> str:
    """Return who runs this, as user@host, for the log of promotions."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def utc_now() -> str:
    """Return the date and time in UTC, as 2026-11-23T02:15:00Z."""
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _set_up_process() -> None:
    """Set up the log on stderr, and what a closed pipe and SIGTERM do."""
    ignore_closed_pipes(is_job=True)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _is_helper_rank() -> bool:
    """Return whether this is one of torchrun's processes but the first, which reports for all."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and os.environ["RANK"] != "0"


def _settings(
    name: str, kind: type[Settings], options: _Options, arguments: Sequence[str]
) -> Settings:
    """Return the defaults, replaced by the TOML file's sections, replaced by the flags.

    A wrong flag ends the process with exit code 2.
    """
    refuse_empty_paths((kind, _Options), arguments)
    check_flags(name, kind, arguments)
    check_preset(name, kind, options.preset)
    sections = sections_of(options.preset)
    if options.config:
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        own = {one.name: one.default for one in fields if one.name in sections_taken(kind)}
        found = read_settings(options.config, options.preset, own)
        check_sections(name, kind, options.config, found.named, found.preset)
        sections = found.sections
    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in sections:
            defaults[field.name] = sections[field.name]
        elif field.default is field.default_factory is dataclasses.MISSING:
            defaults[field.name] = tyro.MISSING
    bare = tyro.conf.arg(name="")
    # The job's own flags, without a prefix, and after them those of every job, for --help.
    parts: Any = tuple.__class_getitem__((Annotated[kind, bare], Annotated[_Options, bare]))
    settings: Settings = tyro.cli(
        parts,
        default=(kind(**defaults), options),
        args=arguments,
        prog=job_command(name),
        description=(kind.__doc__ or "").replace("-m jobs.train", f"-m {job_module('train')}"),
    )[0]
    return settings


def _check_devices(settings: Any) -> None:
    """Raise InputError where a setting asks for a device that is not there."""
    sections = {
        f"{name}.device": getattr(settings, name, None) for name in ("training", "evaluation")
    }
    for field, section in {**sections, "device": settings}.items():
        if getattr(section, "device", "cpu") != "cpu":
            from textvae.model.devices import check_device

            check_device(field, section.device)


def _failure(job: type[Any], error: BaseException) -> dict[str, Any]:
    """Return the result of a run that `error` ended; a bug leaves its traceback in the log.

    `job`: the kind of its settings; of settings that it lacks the message says whose they are.
    """
    kind, said = type(error).__name__, str(error)
    if isinstance(error, KeyboardInterrupt):
        again = "interrupted by a signal; the same command goes on from what was saved"
        logger.error(again)
        return {"outcome": "interrupted", "exit_code": _AGAIN, "error": again, "kind": kind}
    if isinstance(error, TextVaeError):
        code = error.exit_code
        strange = strange_settings(job, said)
        said += f" ({strange})" if strange else ""
        logger.error("%s", said)
    elif isinstance(error, ModuleNotFoundError) and (fix := how_to_install(error.name or "")):
        code, said = NotFoundError.exit_code, f"{error.name} is not installed; {fix}"
        logger.error("%s", said)
    elif isinstance(error, OSError):
        code = _DISK
        logger.error("%s: %s", kind, error)
    else:
        code = _BUG
        logger.error("this is a bug of ours", exc_info=error)
    return {"outcome": "failed", "exit_code": code, "error": said, "kind": kind}


def _write_failure(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write result.json of a run that failed, where its path is known and the disk takes it."""
    # From here on a second signal must not cut the message short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if path in (None, Path()) or _is_helper_rank():  # an empty one was refused
        return
    try:
        files.write_json(path, result)
    except OSError as error:
        logger.error("%s could not be written: %s", path, error)
