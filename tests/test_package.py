"""The wheels: what stands in them, and that their client works where no engine is installed."""

import email.message
import email.parser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.wheels import MODULES, ROOT, built, hide, pip, pure, run, sources


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel as this machine makes it."""
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder with the wheel's contents, and what hides the engine's packages next to it."""
    target = hide(wheel.parent / "installed", *MODULES)
    pip("install", "--no-deps", "--target", str(target), str(wheel))
    return target


def light(installed: Path, folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """A Python process in `folder` that knows the installed wheel and no engine."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )


def metadata(wheel: Path) -> email.message.Message:
    """The wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def inside(wheel: Path) -> set[str]:
    """The names of a wheel's files."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module_and_nothing_of_the_tests(wheel: Path) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "textvae").rglob("*")
        if path.suffix in (".py", ".pyi") or path.name == "py.typed"
    }
    wanted |= {f"textvae/jobs/{path.name}" for path in (ROOT / "jobs").glob("*.py")}
    assert {"textvae/py.typed", "textvae/v1/textvae_pb2.py", "textvae/jobs/nightly.py"} <= wanted
    names = inside(wheel)
    assert wanted <= names, sorted(wanted - names)
    others = {name.split("/")[0] for name in names} - {"textvae"}
    assert len(others) == 1, "no other name of the environment is taken"
    assert others.pop().endswith(".dist-info")
    assert any(name.endswith("/LICENSE") for name in names)


def test_every_package_is_in_the_wheel() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for path in ROOT.glob("textvae/**/__init__.py")
    }
    assert set(declared["tool"]["setuptools"]["packages"]) == packages | {"textvae.protos"}


@pytest.fixture(scope="module")
def pure_wheel(wheel: Path) -> Path:
    """The wheel for every platform, in the folder of the other one."""
    made = pure(wheel.parent / "pure")
    return Path(shutil.copy(made, wheel.parent))


def test_the_pure_wheel_has_all_but_the_compiled_parts_and_fits_everywhere(
    wheel: Path, pure_wheel: Path
) -> None:
    assert pure_wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(pure_wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/WHEEL"))
        assert b"Root-Is-Purelib: true" in archive.read(name)
    assert inside(pure_wheel) == inside(wheel) - set(compiled(wheel))
    assert compiled(pure_wheel) == []


@pytest.mark.skipif(not shutil.which("cc"), reason="this machine has no compiler")
@pytest.mark.parametrize(
    ("flags", "taken"),
    [
        ("", "linux"),
        ("--python-version 3.12", "any"),
        ("--python-version 3.13", "any"),
        ("--python-version 3.11 --platform win_amd64", "any"),
        ("--python-version 3.13 --platform macosx_14_0_arm64", "any"),
    ],
)
def test_pip_takes_the_wheel_that_fits(
    wheel: Path, pure_wheel: Path, tmp_path: Path, flags: str, taken: str
) -> None:
    """Where the compiled one fits it is taken, else the pure one."""
    folder = ("-f", str(pure_wheel.parent), "--dest", str(tmp_path))
    pip("download", "--no-deps", "--only-binary", ":all:", *folder, *flags.split(), "textvae")
    assert {path.name for path in tmp_path.iterdir()} == {
        {"linux": wheel, "any": pure_wheel}[taken].name
    }


def test_no_wheel_is_for_a_python_that_is_too_old(pure_wheel: Path) -> None:
    assert metadata(pure_wheel)["Requires-Python"] == ">=3.11"


def test_the_source_archive_holds_what_both_wheels_are_made_of(tmp_path: Path) -> None:
    source = sources(tmp_path / "source")
    command = (sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir")
    run(*command, str(tmp_path), str(source))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        found = {name.partition("/")[2] for name in files.getnames()}
    folders = ("textvae", "jobs", "protos")
    wanted = [path for folder in folders for path in (source / folder).rglob("*") if path.is_file()]
    names = {path.relative_to(source).as_posix() for path in wanted}
    assert {"textvae/model/tiles.h", "textvae/decode/pick.c", "jobs/deploy/crontab"} <= names
    names |= {"pyproject.toml", "setup.py", "constraints.txt", "LICENSE", "README.md"}
    assert names <= found, sorted(names - found)
    assert not [name for name in found if name.startswith("tests/")]


def test_protos_and_deployment_files_come_with_it(installed: Path, tmp_path: Path) -> None:
    listed = light(installed, tmp_path, installed / "bin" / "textvae", "files")
    paths = [Path(line) for line in listed.stdout.splitlines()]
    assert all(path.is_relative_to(installed) for path in paths)
    command = (installed / "bin" / "textvae", "files", "--output", "shipped")
    assert light(installed, tmp_path, *command).returncode == 0
    protos = (ROOT / "protos").rglob("*.proto")
    deploy = (ROOT / "jobs" / "deploy").iterdir()
    wanted = {path.relative_to(ROOT): path.read_bytes() for path in protos}
    wanted |= {Path("deploy", path.name): path.read_bytes() for path in deploy}
    assert len(wanted) == 8
    copied = [path for path in (tmp_path / "shipped").rglob("*") if path.is_file()]
    assert {one.relative_to(tmp_path / "shipped"): one.read_bytes() for one in copied} == wanted
    assert sorted(path.name for path in paths) == sorted(path.name for path in wanted)
    again = light(installed, tmp_path, *command)
    assert (again.returncode, again.stdout) == (2, "")
    assert "is there already" in again.stderr


def compiled(wheel: Path) -> list[str]:
    """The compiled parts of a wheel."""
    return [name for name in inside(wheel) if name.endswith(".so")]


@pytest.mark.skipif(not shutil.which("cc"), reason="this machine has no compiler")
def test_the_c_is_compiled_where_there_is_a_compiler(wheel: Path) -> None:
    parts = {name.split("_native.")[0] for name in compiled(wheel)}
    assert parts == {"textvae/model/", "textvae/decode/"}


def test_an_installation_without_a_compiler_lacks_the_compiled_part_alone(
    wheel: Path, tmp_path: Path
) -> None:
    """Torch does its work there; `tests/test_gates.py` holds it to the same numbers."""
    plain = built(tmp_path, CC="false")
    assert compiled(plain) == []
    assert inside(plain) == inside(wheel) - set(compiled(wheel))


def test_what_a_client_installs_names_no_package_of_an_extra(wheel: Path) -> None:
    named = metadata(wheel).get_all("Requires-Dist", [])
    groups: dict[bool, set[str]] = {False: set(), True: set()}
    for line in named:
        name = re.match(r"[\w.-]+", line)
        assert name
        groups["extra ==" in line].add(name[0])
    assert {"numpy", "protobuf", "grpcio"} <= groups[False]
    assert {"torch", "sentencepiece", "safetensors", "scikit-learn"} <= groups[True]
    assert groups[False] & groups[True] == set()


def test_the_client_is_imported_where_no_engine_is_installed(
    installed: Path, tmp_path: Path
) -> None:
    found = light(installed, tmp_path, "-c", "import textvae.client as it; print(it.__file__)")
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).is_relative_to(installed)
    for name in MODULES:
        hidden = light(installed, tmp_path, "-c", f"import {name}")
        assert f"ModuleNotFoundError: {name} is not installed" in hidden.stderr


@pytest.mark.parametrize("command", ["module", "script"])
def test_the_terminal_works_where_no_engine_is_installed(
    installed: Path, tmp_path: Path, command: str
) -> None:
    start = {"module": ("-m", "textvae.cli"), "script": (installed / "bin" / "textvae",)}[command]
    shown = light(installed, tmp_path, *start, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "interpolate" in shown.stdout
    # Where no server is, a call goes all the way to the answer that there is none.
    asked = light(
        installed, tmp_path, *start, "sample", "--address", "127.0.0.1:1", "--timeout", "0.5"
    )
    assert (asked.returncode, asked.stdout) == (75, "")
    assert asked.stderr.startswith("textvae: ")
    assert "Traceback" not in asked.stderr
