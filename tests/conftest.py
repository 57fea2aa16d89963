"""What several test files share: one model, trained once, and servers of it."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import textvae
from tests import rephrasing, toys
from tests.conftest_serving import channel, toy_server  # noqa: F401 - fixtures of every test
from textvae import files
from textvae.store.promotions import champion
from textvae.store.versions import Version

FIRST = ("test_training", "test_doctor", "test_drills", "test_nightly", "test_pages")

THREADS = torch.get_num_threads()


class OneProcessPerFile(LoadScopeScheduling):
    """Runs the tests of a file in one process, which trains and starts once what they share.

    Drills share nothing, so each of them may run in any process.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return nodeid if file.endswith("test_drills.py") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneProcessPerFile:
    return OneProcessPerFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files, so that no process ends long before the other.

    The first file trains the toy that most wait for; the next ones do without it.
    """
    items.sort(key=lambda item: (*FIRST, item.path.stem).index(item.path.stem))


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> Path:
    """Finished training runs of this very source, kept between two calls of pytest.

    The drill of mutants names their folder, for its mutants share those of the source as it is.
    """
    if named := os.environ.get("TEXTVAE_TEST_RUNS"):
        return Path(named)
    sources = sorted(
        [
            *Path(textvae.__file__).parent.rglob("*.py"),
            Path(toys.__file__),
            Path(rephrasing.__file__),
        ],
        key=str,
    )
    learning = [
        path.read_bytes()
        for path in sources
        if {"model", "text", "corpus", "training", "tests"} & set(path.parts[-2:-1])
    ]
    # Under other conditions a run is not gone on with.
    learning.append(f"{torch.__version__} {THREADS}".encode())
    key = hashlib.sha256(b"\0".join(learning)).hexdigest()[:12]
    return request.config.cache.mkdir(f"runs-{key}")


@pytest.fixture(scope="session")
def toy_version(tmp_path_factory: pytest.TempPathFactory, runs: Path) -> tuple[Path, Version]:
    """A registry with one promoted version of the model `toy`, and that version.

    It is trained once for all processes that test at the same time; each has a copy of its own.
    """
    registry = tmp_path_factory.mktemp("toy") / "registry"
    return _copy_trained(
        runs / "registry",
        lambda unfinished: toys.published(unfinished, runs / "vae", toys.recipe()),
        registry,
    )


@pytest.fixture(scope="session")
def rephrasing_version(
    tmp_path_factory: pytest.TempPathFactory, runs: Path
) -> tuple[Path, Version]:
    """As `toy_version`, of a version that has learned from siblings."""
    registry = tmp_path_factory.mktemp("rephrasing") / "registry"
    return _copy_trained(
        runs / "rephrasing-registry",
        lambda unfinished: rephrasing.published(unfinished, runs / "rephrasing"),
        registry,
    )


@pytest.fixture(scope="session")
def rephrasing_run(rephrasing_version: tuple[Path, Version], runs: Path) -> Path:
    """The folder of the run that `rephrasing_version` was trained in."""
    return runs / "rephrasing"


def _copy_trained(
    made: Path, publish: Callable[[Path], Version], registry: Path
) -> tuple[Path, Version]:
    """Copy a registry with one promoted version, trained once for all processes of the tests."""
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            torch.set_num_threads(THREADS)  # an engine of an earlier test may have changed it
            with files.new_folder(made) as unfinished:
                toys.promoted(unfinished, publish(unfinished))
    shutil.copytree(made, registry, symlinks=True)
    return registry, champion(registry, toys.MODEL)


@pytest.fixture(scope="session")
def registry(toy_version: tuple[Path, Version]) -> Path:
    """The registry of `toy_version`; a test that changes it takes a copy."""
    return toy_version[0]
