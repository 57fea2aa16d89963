"""The wheel: what stands in it, and that its client works where no engine is installed."""

import email.parser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = (
    "torch", "sentencepiece", "safetensors", "tyro", "filelock", "sklearn", "scipy", "sacrebleu",
    "matplotlib", "pyarrow", "prometheus_client", "grpc_health", "grpc_reflection",
    "tensorboard", "mlflow",
)  # fmt: skip
BLOCKER = f"""
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ENGINE}:
            raise ModuleNotFoundError(f"{{name}} is not installed", name=name)


sys.meta_path.insert(0, Blocked())
"""


def pip(*arguments: str, **env: str) -> None:
    """Runs pip, which asks no index."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stdout + done.stderr


def built(folder: Path, **env: str) -> Path:
    """A wheel of the sources; built from a copy, so that no earlier build gets into it."""
    for name in ("textvae", "jobs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    pip(
        *("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"),
        *("--wheel-dir", str(folder), str(folder / "source")),
        **env,
    )
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel as this machine makes it."""
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder with the wheel's contents, and what hides the engine's packages next to it."""
    target = wheel.parent / "installed"
    pip("install", "--no-deps", "--no-index", "--quiet", "--target", str(target), str(wheel))
    (target / "sitecustomize.py").write_text(BLOCKER)
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


def test_the_wheel_holds_every_module_and_nothing_of_the_tests(wheel: Path) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in ("textvae", "jobs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".pyi") or path.name == "py.typed"
    }
    assert {"textvae/py.typed", "textvae/v1/textvae_pb2.py", "jobs/nightly.py"} <= wanted
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert wanted <= inside, sorted(wanted - inside)
    others = {name.split("/")[0] for name in inside} - {"textvae", "jobs"}
    assert len(others) == 1
    assert others.pop().endswith(".dist-info")
    assert any(name.endswith("/LICENSE") for name in inside)


def compiled(wheel: Path) -> list[str]:
    """The compiled parts of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if name.endswith(".so")]


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
    inside = [set(zipfile.ZipFile(one).namelist()) - set(compiled(one)) for one in (plain, wheel)]
    assert inside[0] == inside[1]


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
    for name in ENGINE:
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
