"""`textvae init`: a settings file that says what each setting means, and a hook that works."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_type_hints

import pytest

from jobs.hook import run_hook
from jobs.init import COMMON, SET, Init, main, setting_comments, template
from textvae.config.nightly import NightlyConfig
from textvae.errors import InputError
from textvae.settings import Sections, read_toml, to_mapping

ROOT = Path(__file__).parent.parent


def uncommented(text: str) -> str:
    """The text with every key that is a comment set."""
    return re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("everything", [False, True])
def test_the_file_is_read_and_its_comments_are_the_defaults(
    everything: bool, tmp_path: Path
) -> None:
    path = tmp_path / "nightly.toml"
    text = template(Init(all=everything))
    path.write_text(text)
    found = read_toml(path)
    assert (found["training"].epochs, found["data"].inputs) == (20.0, (Path("inbox"),))
    # With every comment set, nothing changes but what the file has set.
    path.write_text(uncommented(text))
    for section, config in read_toml(path).items():
        default = to_mapping(type(config)())
        changed = {name: value for name, value in to_mapping(config).items()
                   if value != default[name]}  # fmt: skip
        wanted = {name: value for name, value in SET.get(section, {}).items()
                  if value != default[name]}  # fmt: skip
        assert changed == wanted
    assert len(text) < 40_000
    assert max(map(len, text.splitlines())) <= 100


def test_every_setting_has_a_comment_from_its_declaration_and_common_ones_exist() -> None:
    every = template(Init(all=True))
    for section, kind in get_type_hints(Sections).items():
        names = [field.name for field in dataclasses.fields(kind)]
        comments = setting_comments(kind)
        assert list(comments) == names, section
        assert set(COMMON[section].split()) <= set(names), section
        assert set(SET.get(section, {})) <= set(COMMON[section].split()), section
        part = every.split(f"[{section}]\n")[1].split("\n\n")[0]
        assert re.findall(r"^(?:# )?([a-z_]+) = ", part, re.MULTILINE) == names
        words = " ".join(part.replace("# ", "").split())
        assert all(comments[name] in words for name in names), section


def test_what_is_asked_for_stands_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = template(Init(inputs=(Path("a b.csv"),), text_column='ut"terance', name="bank",
                         hook=Path("my hook.sh")))  # fmt: skip
    (tmp_path / "own.toml").write_text(text)
    found = read_toml(tmp_path / "own.toml")
    assert (found["data"].inputs, found["data"].text_column) == ((Path("a b.csv"),), 'ut"terance')
    assert found["store"].model == "bank"
    assert found["night"].hook == "sh 'my hook.sh'"
    assert "# hook = " not in text


@pytest.mark.parametrize("name", ["nightly.toml", "hook.sh"])
def test_nothing_is_overwritten(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name} exists; give another name"):
        main(Init(hook=Path("hook.sh")))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    with pytest.raises(InputError, match="must be another file"):
        main(Init(file=Path("x"), hook=Path("x")))


def test_the_terminal_writes_a_file_and_a_hook_that_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "textvae.cli", "init", "--hook", "tell.sh"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == ["nightly.toml", "tell.sh"]
    config = read_toml(tmp_path / "nightly.toml")["night"]
    assert config == NightlyConfig(hook="sh tell.sh")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        for outcome in ("promoted", "failed"):
            assert run_hook(config, {"outcome": outcome, "job": "nightly"}) == ""
    finally:
        os.chdir(before)
    lines = (tmp_path / "nightly-results.jsonl").read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["promoted", "failed"]
    assert tomllib.loads((tmp_path / "nightly.toml").read_text())["store"]["model"] == "sentences"
