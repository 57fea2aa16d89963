"""Sentences from stdin: places as people count them, and what is no text."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import Server
from tests.test_cli import NOWHERE, SENTENCES, lines, terminal


@pytest.mark.parametrize(
    ("command", "stdin", "rows", "message"),
    [
        (
            "encode",
            "a\n" * 2500 + "x" * 1001 + "\n",
            2500,
            "line 2501 of stdin: must be at most 1000",
        ),
        ("score", "a\n" * 100 + "\x07\n", 100, "line 101 of stdin: holds control characters only"),
        ("paraphrase", "a\n\n \nb\n" + "qx" * 90, 10, "line 5 of stdin: must be at most 128 tok"),
        ("interpolate", "\na\n\n" + "x" * 1001, 0, "line 4 of stdin: must be at most 1000"),
    ],
)
def test_an_error_names_the_line_of_stdin_as_people_count(
    command: str, stdin: str, rows: int, message: str, toy_server: Server
) -> None:
    words = (command, "--skip-blank", "--json", "--address", toy_server.address)
    done = terminal(*words, stdin=stdin)
    # A path with a point that is refused is refused; elsewhere a line costs itself alone.
    assert done.returncode == (2 if command == "interpolate" else 65)
    assert len([line for line in lines(done.stdout) if "error" not in line]) == rows
    assert done.stderr.startswith(f"textvae: {message}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "a", "b", "x" * 1001], "sentence 3: must be at most 1000 characters"),
        (["interpolate", "a", "x" * 1001], "sentence 2: must be at most 1000 characters"),
    ],
)
def test_an_error_names_the_sentence_of_the_command_line(
    words: list[str], message: str, toy_server: Server
) -> None:
    done = terminal(*words, "--address", toy_server.address)
    assert done.stderr.startswith(f"textvae: {message}")


def test_blank_lines_of_stdin_are_named_or_left_out_on_demand(toy_server: Server) -> None:
    stdin = "\n".join([SENTENCES[0], "", " \t", SENTENCES[1] + "\r", ""])
    words = ("encode", "--json", "--address", toy_server.address)
    done = terminal(*words, stdin=stdin)
    assert done.returncode == 65
    problem = "is blank; take it out, or leave out all such lines with --skip-blank"
    assert done.stderr == (
        f"textvae: line 2 of stdin: {problem}\ntextvae: line 3 of stdin: {problem}\n"
        "textvae: 2 of 4 lines failed\n"
    )
    found = lines(done.stdout)
    assert [line["line"] for line in found] == [1, 2, 3, 4]
    assert [line.get("sentence") for line in found] == [SENTENCES[0], None, None, SENTENCES[1]]
    assert found[1] == {"line": 2, "error": problem}
    done = terminal(*words, "--skip-blank", stdin=stdin)
    assert [line["sentence"] for line in lines(done.stdout)] == SENTENCES


@pytest.mark.parametrize(
    ("stdin", "code", "message"),
    [
        (b"caf\xe9\n", 65, "line 1 of stdin: byte 0xe9 is not UTF-8; pipe in UTF-8\n"),
        (b"\xff\xfea\x00\n", 65, "line 1 of stdin: byte 0xff is not UTF-8; pipe in UTF-8\n"),
        (b"", 2, "sentences: must be at least one; stdin holds none\n"),
        (None, 2, "sentences: must be at least one; stdin is closed, so name it\n"),
    ],
)
def test_a_stdin_that_gives_no_text_is_an_error_in_words(
    stdin: bytes | None, code: int, message: str
) -> None:
    command = f"{sys.executable} -m textvae.cli encode --address {NOWHERE}"
    done = subprocess.run(
        command if stdin is not None else command + " <&-",
        shell=True, input=stdin, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert done.stderr.decode().startswith(f"textvae: {message}")


def test_a_byte_order_mark_on_stdin_is_no_text(toy_server: Server) -> None:
    words = ("encode", "--json", "--address", toy_server.address)
    done = terminal(*words, stdin="\ufeffa dog\n")
    assert [line["sentence"] for line in lines(done.stdout)] == ["a dog"]


def test_an_error_of_a_replay_names_the_call(toy_server: Server, tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    words = ("--record", str(path), "--address", toy_server.address)
    assert terminal("score", *SENTENCES, *words).returncode == 0
    recorded = json.loads(path.read_text())
    recorded["calls"] += json.loads(json.dumps(recorded["calls"]))
    recorded["calls"][1]["request"]["sentences"][1] = "x" * 1001
    path.write_text(json.dumps(recorded))
    done = terminal("replay", str(path), "--address", toy_server.address)
    assert done.returncode == 2
    assert done.stderr == (
        "textvae: sentence 2: must be at most 1000 characters, got 1001; shorten or split it; "
        f"{path}: call 2 of 2, Score\n"
    )
