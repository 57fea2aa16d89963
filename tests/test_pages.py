"""The pages say what is there: every command of them runs, every link leads somewhere."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

from tests import toys
from tests.job_runs import MODEL, NIGHTLY_CONFIG, prepared
from textvae.settings import read_toml

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "protos/README.md",
    "jobs/README.md",
    "textvae/README.md",
    "textvae/evaluation/README.md",
    "tests/README.md",
)
README_BYTES_MAX = 12 * 1024
KINDS = ("sh", "sh background", "sh long", "python", "toml", "")
COMMANDS = re.compile(r"^(textvae|python|make|docker|torchrun|grpcurl|protoc|pip) ", re.MULTILINE)
PORT = "127.0.0.1:50061"


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    kind: str
    """What its fence says."""
    text: str


def blocks() -> list[Block]:
    """Every fenced block of every page, in order."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[1].strip(), match[2]))
    return found


def of_kind(*kinds: str) -> list[object]:
    """The blocks of these kinds as parameters of a test."""
    chosen = [block for block in blocks() if block.kind in kinds]
    return [pytest.param(block, id=f"{block.page}:{block.line}") for block in chosen]


class PagesFolder(NamedTuple):
    """A folder in which the pages' commands run, and the server that they call."""

    folder: Path
    address: str

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the folder, with the project's own programs first."""
        return subprocess.run(
            command, cwd=self.folder, env=environment(), capture_output=True, text=True
        )


def environment() -> dict[str, str]:
    """Where the pages' commands find Python and the project."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def pages_folder(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesFolder]:
    """A registry of the model `demo`, its server as the README starts it, and an inbox of text."""
    folder = prepared(tmp_path_factory.mktemp("pages") / "pages_folder", NIGHTLY_CONFIG)
    shutil.copy(folder / "toy.toml", folder / "nightly.toml")
    (folder / "sentences.txt").write_text(toys.corpus().train[0].text + "\n")
    shutil.copytree(registry / toys.MODEL, folder / "demo" / "registry" / "demo", symlinks=True)
    (start,) = {block.text for block in blocks() if block.kind == "sh background"}
    command = f"exec {start.strip()} --port 0 --threads 1"
    server = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        yield PagesFolder(folder, server.stdout.readline().split()[-1])
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()


@pytest.mark.parametrize("block", of_kind("sh"))
def test_a_command_of_a_page_runs(block: Block, pages_folder: PagesFolder) -> None:
    """In the order of the pages; `textvae` calls the test's server, whatever its port."""
    head = f"""set -euo pipefail
textvae() {{
    local command=$1; shift
    if [ "$command" = job ]; then python -m textvae.cli job "$@"; return; fi
    python -m textvae.cli "$command" --address {pages_folder.address} "$@"
}}
VERSION=$(ls -t registry/{MODEL}/versions 2>/dev/null | head -1 || true)
RUN=$(ls -td runs/???????????? 2>/dev/null | head -1 || true)
"""
    done = pages_folder.run("bash", "-c", head + block.text)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", of_kind("python"))
def test_a_program_of_a_page_runs(block: Block, pages_folder: PagesFolder) -> None:
    done = pages_folder.run(
        "python", "-W", "error", "-c", block.text.replace(PORT, pages_folder.address)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("block", of_kind("toml"))
def test_settings_of_a_page_are_settings(block: Block, tmp_path: Path) -> None:
    (tmp_path / "page.toml").write_text(block.text)
    assert read_toml(tmp_path / "page.toml")


def test_every_block_of_commands_says_whether_it_is_run() -> None:
    for block in blocks():
        assert block.kind in KINDS, f"{block.page}:{block.line}: {block.kind!r}"
        marked = block.kind != "" or not COMMANDS.search(block.text)
        assert marked, f"{block.page}:{block.line} holds commands and is neither run nor long"


@pytest.mark.parametrize("page", PAGES)
def test_a_link_of_a_page_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []
    names = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|proto|c))`", text)
    roots = (ROOT, ROOT / "textvae", (ROOT / page).parent)
    assert [name for name in names if not any((root / name).exists() for root in roots)] == []


def test_every_page_is_checked_here() -> None:
    pages = {str(path.relative_to(ROOT)) for path in ROOT.glob("*/**/README.md")}
    ours = {page for page in pages if not page.startswith(".")} | {"README.md"}
    assert ours == set(PAGES)


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= README_BYTES_MAX


def tracked_folders() -> set[str]:
    """Every folder that git tracks a file in, as `textvae/engine/`."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [PurePosixPath(name) for name in listed.split("\0") if name]
    return {f"{folder}/" for file in files for folder in file.parents} - {"./"}


def test_the_tree_in_the_readme_is_what_git_tracks() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## The tree\n.*?^```[a-z]*\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert block, "README.md must have a fenced block under the heading '## The tree'"
    lines = [line.split(maxsplit=1) for line in block[1].splitlines() if line.strip()]
    assert [line for line in lines if len(line) < 2] == [], "each folder has a description"
    listed = [line[0] for line in lines]
    tracked = tracked_folders()
    assert sorted(tracked - set(listed)) == [], "tracked, and not in the README's tree"
    assert sorted(set(listed) - tracked) == [], "in the README's tree, and not tracked"
    assert len(listed) == len(set(listed)), "a folder stands twice in the README's tree"
