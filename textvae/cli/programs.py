"""Commands that call no server: `textvae serve`, `demo`, `init`, `job NAME`, `jobs` and `files`.

Those that compute are programs of the extras, which this process becomes. They are found as parts
of this package: what lies in the working folder under the same names is not touched.
"""

import argparse
import ast
import os
import re
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from textvae import files
from textvae.errors import InputError, NotFoundError, TextVaeError
from textvae.installation import (
    JOB_EXTRAS,
    JOBS,
    SERVE_EXTRAS,
    check_packages,
    how_to_install,
    job_command,
    shipped_files,
)
from textvae.pipes import ignore_closed_pipes

_IS_JOB = re.compile(r"`python -m jobs\.(?P<name>\w+)[^`]*`[^:]*: (?P<words>.*)", re.DOTALL)
"""How the docstring of a file that is a job begins."""
_HELP = ("-h", "--help")


class Program(NamedTuple):
    """A command that calls no server."""

    help: str
    run: Callable[[Sequence[str]], None]
    """It takes the words after the command's name."""


def jobs() -> dict[str, str]:
    """Return what each job does, by its name, as its file says; no job is imported."""
    found = {}
    for path in sorted(JOBS.glob("*.py")):
        words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        match = _IS_JOB.fullmatch(words.split("\n\n")[0].replace("\n", " "))
        if match and match["name"] == path.stem:
            found[path.stem] = match["words"]
    return found


def _list_jobs(arguments: Sequence[str]) -> None:
    """Print every job with a sentence."""
    if wrong := [word for word in arguments if word not in _HELP]:
        raise InputError("jobs", f"takes no words, got {wrong[0]!r}; textvae job NAME starts one")
    ignore_closed_pipes()
    print("usage: textvae job NAME [--config FILE.toml] [flags]; NAME --help explains each flag\n")
    for name, words in jobs().items():
        print(f"  {name:<12}{words}")


def _run_job(arguments: Sequence[str]) -> None:
    """Become a job; list all where none is named."""
    name, *others = arguments or ["--help"]
    if name in _HELP:
        _list_jobs([])
        return
    if name not in jobs():
        raise InputError("job", f"there is no job {name!r}; there are {', '.join(jobs())}")
    check_packages(job_command(name), *JOB_EXTRAS)
    _become(f"textvae.jobs.{name}", job_command(name), others)


def _run_demo(arguments: Sequence[str]) -> None:
    """Become the demo, which is a job."""
    _run_job(["demo", *arguments])


def _run_init(arguments: Sequence[str]) -> None:
    """Become the job that writes a settings file."""
    _run_job(["init", *arguments])


def _serve(arguments: Sequence[str]) -> None:
    """Become the server."""
    check_packages("textvae serve", *SERVE_EXTRAS)
    _become("textvae.serve", "textvae serve", arguments)


def _become(module: str, program: str, arguments: Sequence[str]) -> None:
    """Run the module as this process's program; it ends the process."""
    sys.argv = [program, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:
        if not (command := how_to_install(error.name or "")):
            raise
        raise NotFoundError(f"{program}: {error.name} is not installed; {command}") from error


def _files(arguments: Sequence[str]) -> None:
    """Print where the contracts and the deployment files are, or copy them."""
    parser = argparse.ArgumentParser("textvae files", description=PROGRAMS["files"].help)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="copy them to this folder")
    ignore_closed_pipes()
    output: Path | None = parser.parse_args(arguments).output
    for name, path in shipped_files():
        if output:
            if (target := output / name).exists():
                raise InputError("output", f"{target} is there already; name another folder")
            files.make_folder(target.parent)
            files.copy_file(path, target)
        print(output / name if output else path)


PROGRAMS = {
    "serve": Program("serve a model's champion (textvae serve --help)", _serve),
    "demo": Program("train, serve and show a model (textvae demo --help)", _run_demo),
    "init": Program("write a settings file with comments (textvae init --help)", _run_init),
    "job": Program("run a batch job, such as nightly (textvae jobs lists them)", _run_job),
    "jobs": Program("list the batch jobs", _list_jobs),
    "files": Program("list or copy the protos and the deployment files", _files),
}


def run_program(words: Sequence[str]) -> int:
    """Run a command of PROGRAMS; return its exit code."""
    try:
        PROGRAMS[words[0]].run(words[1:])
    except TextVaeError as error:
        sys.stderr.write(f"textvae: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"textvae: {error}\n")
        return os.EX_IOERR
    return 0
