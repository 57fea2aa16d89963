"""A hook is a program and its arguments: what only a shell understands is refused by name."""

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from jobs.hook import run_hook
from textvae.config.nightly import NightlyConfig
from textvae.errors import InputError
from textvae.settings import read_toml

SHELL_LINES = [
    ("cat >> results.jsonl", ">> (append"),
    ("cat > results.json", "> (write"),
    ("cat 2>errors", "> (write"),
    ("cat>results.json", "> (write"),
    ("mail -s night team < text", "< (read"),
    ("jq .outcome | mail team", "| (pipe"),
    ("cat|mail", "| (pipe"),
    ("first && second", "&& (and then"),
    ("first || second", "|| (or else"),
    ("first; second", "; (and then"),
    ("first &", "& (in the background"),
    ("(first)", "( (subshell"),
    ("echo $(date)", "$("),
    ('echo "$(date)"', "$("),
    ("echo `date`", "`"),
    ("echo $HOME", "$HOME"),
    ('echo "${HOME}/x"', "${HOME}"),
    ("~/bin/tell", "~ (a home folder"),
    ("cat ~ann/x", "~ann (a home folder"),
    ("TOKEN=3 tell", "the variable TOKEN="),
    ("cd /srv", "cd, which is a word of the shell"),
    ("export A", "export, which"),
    ("rm *.tmp", "* (names of files"),
    ("tell # the team", "# (a comment"),
    ("first\nsecond", "a line break (next line"),
]


@pytest.mark.parametrize(("line", "found"), SHELL_LINES, ids=[line for line, _ in SHELL_LINES])
def test_a_line_of_a_shell_is_refused_with_the_command_that_runs_it(line: str, found: str) -> None:
    with pytest.raises(InputError) as error:
        NightlyConfig(hook=line)
    assert error.value.field == "night.hook"
    assert f"so that {found}" in str(error.value)
    written = str(error.value).split("meaning write ")[1].split(", for the character")[0]
    fixed = tomllib.loads(written)["hook"]
    assert shlex.split(fixed) == ["sh", "-c", line]
    assert NightlyConfig(hook=fixed).hook == fixed


@pytest.mark.parametrize(
    "hook",
    [
        "",
        " ",
        "sh tell.sh",
        "/usr/bin/tell --when 'a; b > c' \"d | e\"",
        "curl --data @- https://example.org/hook?token=a~b",
        "tr '|' ','",
        "grep -q ^a$",
        "grep a\\|b",
        "env TOKEN=3 tell",
        "sh -c 'cat >> \"$HOME/results.jsonl\"'",
        "tell a#b",
    ],
)
def test_a_program_with_arguments_is_taken(hook: str) -> None:
    assert NightlyConfig(hook=hook).hook == hook


def test_a_quote_without_its_end_is_a_wrong_setting() -> None:
    with pytest.raises(InputError, match=r"night\.hook: no closing quotation in"):
        NightlyConfig(hook="echo 'unfinished")


def test_the_fix_of_a_refused_hook_does_what_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        NightlyConfig(hook="cat >> results.jsonl")
    line = str(error.value).split("meaning write ")[1].split(", for the character")[0]
    (tmp_path / "nightly.toml").write_text(f"[night]\n{line}\n")
    config = read_toml(tmp_path / "nightly.toml")["night"]
    assert run_hook(config, {"outcome": "promoted"}) == ""
    assert run_hook(config, {"outcome": "rejected"}) == ""
    outcomes = [json.loads(f"{one}}}")["outcome"] for one in
                (tmp_path / "results.jsonl").read_text().split("}")[:-1]]  # fmt: skip
    assert outcomes == ["promoted", "rejected"]


def test_a_program_that_is_not_there_is_told_from_a_line_of_a_shell() -> None:
    problem = run_hook(NightlyConfig(hook="no-such-program --now"), {})
    assert "No such file or directory: 'no-such-program'" in problem
    assert problem.endswith("it is a program and its arguments, no line of a shell, "
                            "which would be sh -c '...'")  # fmt: skip
