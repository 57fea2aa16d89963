"""What an installation says and starts: light ones, and folders with modules of the same names."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.wheels import MODULES, ROOT, hide, pip, pure
from textvae import installation
from textvae.cli import programs

LIGHT = {"numpy", "google", "grpc", "grpc_status", "rich"}
"""What every installation has."""
UNDECLARED = {"requests": "mlflow", "mpl_toolkits": "matplotlib"}
"""Modules that come with another one."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contents of a wheel."""
    folder = tmp_path_factory.mktemp("installation")
    pip("install", "--no-deps", "--target", str(folder / "installed"), str(pure(folder)))
    return folder / "installed"


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `textvae` of a virtual environment in which a checkout is installed."""
    path = tmp_path_factory.mktemp("bin") / "textvae"
    path.write_text("import sys\nfrom textvae.cli.__main__ import main\nsys.exit(main())\n")
    return path


def ended(
    folder: Path, *command: str | Path, paths: tuple[Path, ...]
) -> subprocess.CompletedProcess[str]:
    """A Python process in `folder` that finds modules in `paths` first."""
    path = os.pathsep.join(map(str, paths))
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def assert_names_the_extra(done: subprocess.CompletedProcess[str], extra: str) -> None:
    """Exit code 66 and one line."""
    assert (done.returncode, done.stdout) == (66, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"is not installed; pip install 'textvae[{extra}]'" in done.stderr


def test_every_job_is_listed_with_a_sentence() -> None:
    starts = re.compile(r"^if __name__ == .__main__.:", re.MULTILINE)
    files = [path for path in installation.JOBS.glob("*.py") if starts.search(path.read_text())]
    assert set(programs.jobs()) == {path.stem for path in files}
    assert all(words.endswith(".") for words in programs.jobs().values())


@pytest.mark.parametrize("job", sorted(programs.jobs()))
def test_a_job_of_a_light_installation_names_the_extra(
    installed: Path, tmp_path: Path, job: str
) -> None:
    paths = (hide(tmp_path / "hidden", *MODULES), installed)
    script = installed / "bin" / "textvae"
    assert_names_the_extra(ended(tmp_path, script, "job", job, "--help", paths=paths), "engine")
    assert_names_the_extra(ended(tmp_path, "-m", f"textvae.jobs.{job}", paths=paths), "engine")


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_server_and_demo_of_a_light_installation_name_the_extra(
    installed: Path, tmp_path: Path, command: str
) -> None:
    paths = (hide(tmp_path / "hidden", *MODULES), installed)
    script = installed / "bin" / "textvae"
    assert_names_the_extra(ended(tmp_path, script, command, paths=paths), "engine")
    module = {"serve": "textvae.serve", "demo": "textvae.jobs.demo"}[command]
    assert_names_the_extra(ended(tmp_path, "-m", module, paths=paths), "engine")


@pytest.mark.parametrize(
    "module", " ".join(installation.EXTRAS[extra] for extra in installation.JOB_EXTRAS).split()
)
def test_a_job_begins_with_every_package_or_not_at_all(tmp_path: Path, module: str) -> None:
    """None ends after hours of training for want of what it measures with."""
    paths = (hide(tmp_path / "hidden", module), ROOT)
    done = ended(tmp_path, "-m", "jobs.nightly", paths=paths)
    assert_names_the_extra(done, "engine")
    assert done.stderr.startswith(f"python -m jobs: {module} ")


def test_a_job_that_misses_a_package_on_the_way_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("""
from jobs.command import run_job
from jobs.ingest import Ingest

def main(settings):
    import matplotlib.figure

run_job("ingest", Ingest, main)
""")
    done = ended(tmp_path, "job.py", paths=(hide(tmp_path / "hidden", "matplotlib"), ROOT))
    assert done.returncode == 66
    assert "matplotlib is not installed; pip install 'textvae[plots]'" in done.stdout
    assert "Traceback" not in done.stderr


def test_every_module_that_is_imported_is_of_the_client_or_of_an_extra() -> None:
    ours = [*ROOT.glob("textvae/**/*.py"), *ROOT.glob("jobs/*.py")]
    found: dict[str, Path] = {}
    for path in ours:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0]: path for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.partition(".")[0]] = path
    foreign = set(found) - sys.stdlib_module_names - LIGHT - {"textvae", *UNDECLARED}
    unknown = {name: found[name] for name in foreign if not installation.how_to_install(name)}
    assert unknown == {}


def test_an_extra_has_the_packages_of_its_modules() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = declared["project"]["optional-dependencies"]
    packages = {"mlflow": ["mlflow-skinny"]} | dict(importlib.metadata.packages_distributions())
    for extra, modules in installation.EXTRAS.items():
        names = {normal(re.split(r"[^\w.-]", line)[0]) for line in extras[extra]}
        for module in modules.split():
            if module in packages:
                assert names & {normal(name) for name in packages[module]}, (extra, module)


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A working folder whose owner has modules named jobs, tyro and numpy."""
    for name in ("jobs/__init__.py", "jobs/fsck.py", "tyro.py", "numpy.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('this is not of textvae')")
    return tmp_path


def test_modules_of_the_working_folder_are_not_taken_for_those_of_a_job(
    installed: Path, own_folder: Path, script: Path
) -> None:
    for program, path in ((installed / "bin" / "textvae", installed), (script, ROOT)):
        done = ended(own_folder, program, "job", "fsck", paths=(path,))
        assert done.returncode == 0, done.stderr
        assert '"outcome": "sound"' in done.stdout


def test_an_installation_leaves_the_name_jobs_to_others(installed: Path) -> None:
    """So does a test of the wheel's names; this one is of what pip made of it."""
    names = {path.name.partition("-")[0] for path in installed.iterdir()}
    assert names == {"bin", "textvae"}


def assert_names(done: subprocess.CompletedProcess[str], command: str) -> None:
    """A promotion that fails names the job that comes before it."""
    assert done.returncode == 66
    assert f"no version 'x'; {command.replace('promote', 'train')} makes the first" in done.stdout


def assert_shows(done: subprocess.CompletedProcess[str], command: str) -> None:
    """The help begins with the command."""
    assert " ".join(done.stdout.split()).startswith(f"usage: {command} ")


PROMOTE = ("--version", "x")


def test_an_installation_names_the_commands_that_work_there(
    installed: Path, tmp_path: Path
) -> None:
    script = (installed / "bin" / "textvae", "job", "promote")
    for words in (script, ("-m", "textvae.jobs.promote")):
        assert_shows(ended(tmp_path, *words, "--help", paths=(installed,)), "textvae job promote")
        assert_names(ended(tmp_path, *words, *PROMOTE, paths=(installed,)), "textvae job promote")
    described = ended(tmp_path, *script[:2], "train", "--help", paths=(installed,)).stdout
    assert "torchrun --nproc-per-node 2 -m textvae.jobs.train" in " ".join(described.split())


def test_a_checkout_names_the_commands_by_which_it_was_started(
    script: Path, tmp_path: Path
) -> None:
    for words, shown in (
        (("-m", "jobs.promote"), "python -m jobs.promote"),
        (("-m", "textvae.jobs.promote"), "python -m textvae.jobs.promote"),
        ((script, "job", "promote"), "textvae job promote"),
    ):
        assert_shows(ended(tmp_path, *words, "--help", paths=(ROOT,)), shown)
        assert_names(ended(tmp_path, *words, *PROMOTE, paths=(ROOT,)), shown)


def test_a_server_of_an_installation_names_the_job_that_makes_a_champion(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "registry" / "toy" / "versions").mkdir(parents=True)
    words = (installed / "bin" / "textvae", "serve", "--model", "toy", "--port", "0")
    done = ended(tmp_path, *words, paths=(installed,))
    assert done.returncode == 66
    assert done.stderr.endswith("no champion; textvae job nightly makes one\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("job", 0, "  nightly     new text becomes a serving version."),
        ("job --help", 0, "  nightly     new text becomes a serving version."),
        ("jobs", 0, "  nightly     new text becomes a serving version."),
        ("jobs nightly", 2, "jobs: takes no words, got 'nightly'; textvae job NAME starts one"),
        ("job nigthly", 2, "job: there is no job 'nigthly'; there are bench, demo, "),
    ],
)
def test_jobs_are_listed_where_none_is_named(
    tmp_path: Path, words: str, code: int, said: str
) -> None:
    done = ended(tmp_path, "-m", "textvae.cli", *words.split(), paths=(ROOT,))
    assert done.returncode == code
    assert said in done.stdout + done.stderr


def normal(name: str) -> str:
    """The name of a distribution as indexes compare it."""
    return name.lower().replace("_", "-")
