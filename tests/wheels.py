"""Wheels and the source archive of this checkout, and installations of them that ask no index."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = (
    "torch", "sentencepiece", "safetensors", "tyro", "filelock", "sklearn", "scipy", "sacrebleu",
    "matplotlib", "pyarrow", "prometheus_client", "grpc_health", "grpc_reflection",
    "tensorboard", "mlflow", "re2", "threadpoolctl",
)  # fmt: skip
"""What a client does not install."""


def run(*command: str, cwd: Path = ROOT, **env: str) -> str:
    """The output of a command, which succeeds."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **env}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments: str, **env: str) -> str:
    """Runs pip, which asks no index."""
    quiet = ("--disable-pip-version-check", "--quiet")
    return run(sys.executable, "-m", "pip", *quiet, *arguments, PIP_NO_INDEX="1", **env)


def sources(folder: Path) -> Path:
    """A copy of the sources alone, so that nothing of an earlier build gets into a wheel."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("textvae", "jobs", "protos", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, folder)
    return folder


def built(folder: Path, **env: str) -> Path:
    """A wheel of the sources."""
    source = sources(folder / "source")
    wanted = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    pip(*wanted, str(source), **env)
    (made,) = folder.glob("*.whl")
    return made


def pure(folder: Path) -> Path:
    """A wheel of the sources for every platform and Python."""
    return built(folder, TEXTVAE_PURE="1")


def hide(folder: Path, *modules: str) -> Path:
    """A folder for PYTHONPATH that hides these modules, as if they were not installed."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"""
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {modules}:
            raise ModuleNotFoundError(f"{{name}} is not installed", name=name)


sys.meta_path.insert(0, Blocked())
""")
    return folder
