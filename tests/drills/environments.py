"""Virtual environments with a wheel in them, for the Pythons that this machine has."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HERE = sys.version_info[:2]
Version = tuple[int, int]


class Environment(NamedTuple):
    """A virtual environment with textvae."""

    folder: Path
    version: Version

    @property
    def packages(self) -> Path:
        """Its folder of packages."""
        return self.folder / f"lib/python{self.version[0]}.{self.version[1]}/site-packages"

    def command(self, *words: str) -> list[str]:
        """A command of its program `textvae`."""
        return [str(self.folder / "bin" / "textvae"), *words]

    def run(self, folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """What the command did in a folder."""
        return subprocess.run(
            self.command(*words),
            cwd=folder,
            env=environment(),
            input=stdin,
            capture_output=True,
            text=True,
        )


def environment() -> dict[str, str]:
    """The variables of a process that finds nothing of this checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def supported() -> list[Version]:
    """The Pythons that the package names, oldest first."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    classifiers = " ".join(tomllib.loads(text)["project"]["classifiers"])
    return sorted((3, int(minor)) for minor in re.findall(r"Python :: 3\.(\d+)", classifiers))


def pythons() -> dict[Version, str]:
    """The supported Pythons that are found here, oldest first, and that start."""
    found = {HERE: sys.executable}
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for major, minor in supported():
        name = f"python{major}.{minor}"
        paths = [shutil.which(name), *sorted(home.glob(f"{major}.{minor}.*/bin/{name}"))]
        for path in filter(None, paths):
            asked = [str(path), "-c", "import sys, venv; print(sys.version_info[:2])"]
            done = subprocess.run(asked, capture_output=True, text=True)
            if done.returncode == 0 and done.stdout.strip() == str((major, minor)):
                found.setdefault((major, minor), str(path))
    return dict(sorted(found.items()))


def install(folder: Path, version: Version, python: str, wheels: Path) -> Environment:
    """An environment with the wheel that fits, and with nothing that it depends on."""
    subprocess.run(
        [python, "-m", "venv", "--without-pip", str(folder)], check=True, env=environment()
    )
    made = Environment(folder, version)
    pip(made, "--no-deps", str(fitting(wheels, version)))
    return made


def fitting(wheels: Path, version: Version) -> Path:
    """The wheel for this Python: the compiled one where it was made for it, else the pure one."""
    compiled = list(wheels.glob(f"*-cp{version[0]}{version[1]}-*.whl"))
    return next(iter([*compiled, *wheels.glob("*-none-any.whl")]))


def pip(made: Environment, *words: str) -> None:
    """Installs into an environment."""
    pip = (sys.executable, "-m", "pip", "--python", str(made.folder / "bin" / "python"))
    subprocess.run([*pip, "install", "--quiet", *words], check=True, env=environment())


def install_what_a_client_needs(made: Environment) -> None:
    """From the index, as the lock of the repository names it."""
    pip(made, "--constraint", str(ROOT / "constraints.txt"), "textvae")


def link_what_a_client_needs(made: Environment) -> None:
    """From this process's own packages, with nothing of an extra."""
    packages = Path(sysconfig.get_path("purelib"))
    names = {
        file.parts[0]
        for distribution in needed("textvae")
        for file in distribution.files or []
        if file.parts[0] not in ("..", "__pycache__")
    }
    for name in names:
        if not (made.packages / name).exists():
            (made.packages / name).symlink_to(packages / name)


def needed(name: str) -> Iterator[importlib.metadata.Distribution]:
    """What a package needs without its extras, and what that needs."""
    waiting, seen = [name], {name}
    while waiting:
        for line in importlib.metadata.requires(waiting.pop()) or []:
            other = re.split(r"[^\w.-]", line)[0].lower()
            if ";" in line or other in seen:
                continue
            seen.add(other)
            waiting.append(other)
            yield importlib.metadata.distribution(other)


def add_engine(made: Environment) -> None:
    """Every package of this process's own environment."""
    (made.packages / "engine.pth").write_text(sysconfig.get_path("purelib") + "\n")
