"""The pages say what is there: the tree of folders."""

import re
import subprocess
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent


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
    told = [line[0] for line in lines]
    tracked = tracked_folders()
    assert sorted(tracked - set(told)) == [], "tracked, and not in the README's tree"
    assert sorted(set(told) - tracked) == [], "in the README's tree, and not tracked"
    assert len(told) == len(set(told)), "a folder stands twice in the README's tree"
