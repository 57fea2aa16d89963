"""What the terminal and the client say of themselves: help, defaults, completion, addresses."""

import inspect
import os
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import Server
from tests.test_cli import NOWHERE, SENTENCES, lines, terminal
from textvae.cli.commands import main
from textvae.cli.completion import commands_of, script
from textvae.cli.parser import ADD_FLAGS, EXAMPLES, parser, release
from textvae.client import AsyncClient, Client, calls
from textvae.client.addresses import default_target
from textvae.client.results import EncodeResult, ParaphraseResult
from textvae.errors import InputError


@pytest.mark.parametrize("command", [*ADD_FLAGS, "completion"])
def test_every_command_has_examples_and_every_flag_its_default(command: str) -> None:
    done = terminal(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert EXAMPLES[command].splitlines()[1] in done.stdout
    if command == "completion":
        return
    words = " ".join(done.stdout.split())
    found = next(one for one in commands_of(parser()) if one.name == command)
    assert "--wait-s" in {flag.name for flag in found.flags}
    shown = words.count("(default ")
    assert shown == len(found.flags) - 1, "--help alone has no default"


def test_the_defaults_in_the_help_are_those_of_the_requests() -> None:
    words = " ".join(terminal("paraphrase", "--help").stdout.split())
    assert "how far, 0 to 10 posterior deviations (default 1.0)" in words
    assert "0 takes the likeliest token (greedy) (default 0.0)" in words
    assert "variations a sentence (default 5)" in words
    assert (
        "drop duplicates and copies of the sentence; missing ones are reported (default off)"
        in words
    )


def test_the_release_is_said() -> None:
    done = terminal("--version")
    assert (done.returncode, done.stdout) == (0, f"textvae {release()}\n")


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_the_help_of_a_program_loads_nothing_that_takes_seconds(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "textvae.cli", command, "--help"],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
    )  # fmt: skip
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "tyro" in loaded
    assert not loaded & {"torch", "sklearn", "scipy", "matplotlib", "pyarrow", "sentencepiece"}


def completed(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    source = f"source <({sys.executable} -m textvae.cli completion bash)"
    call = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _textvae; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-euc", f"{source}; {call}", "bash", "textvae", *words],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash_completes_commands_flags_and_values(tmp_path: Path) -> None:
    assert completed("inter") == ["interpolate"]
    assert {*ADD_FLAGS, "serve", "demo", "completion", "--version"} <= set(completed(""))
    assert completed("paraphrase", "--adeq") == ["--adequacy-min"]
    assert completed("paraphrase", "--method", "re") == ["rephrase"]
    assert completed("sample", "--prior", "") == ["auto", "standard", "fitted"]
    assert completed("completion", "z") == ["zsh"]
    assert completed("score", "--seed", "") == []
    (tmp_path / "latents.npz").touch()
    assert completed("decode", f"{tmp_path}/lat") == [f"{tmp_path}/latents.npz"]
    assert completed("score", "--input", f"{tmp_path}/lat") == [f"{tmp_path}/latents.npz"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_have_every_command_and_flag(shell: str) -> None:
    text = script(shell, parser())
    for command in commands_of(parser()):
        assert command.name in text
        for flag in command.flags:
            name = flag.name if shell == "zsh" else f"-l {flag.name.removeprefix('--')}"
            assert name in text
    assert text.count("'") % 2 == 0


def test_the_environment_names_the_server(
    toy_server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEXTVAE_ADDRESS", toy_server.address)
    assert main(["health"]) == 0
    with Client() as client:
        assert client.info().version == toy_server.version
    capsys.readouterr()
    # A flag wins, as does an argument.
    assert main(["health", "--address", NOWHERE]) == 1
    with Client(NOWHERE) as client:
        assert not client.health()
    monkeypatch.setenv("TEXTVAE_ADDRESS", NOWHERE)
    capsys.readouterr()
    assert main(["info"]) == 75
    assert "the address is that of TEXTVAE_ADDRESS in the environment" in capsys.readouterr().err
    assert main(["info", "--address", toy_server.address]) == 0


@pytest.mark.parametrize(
    "address", ["", " ", "localhost", "http://localhost:50061", "a:0", "a:70000", "a b:1", ":50061"]
)
def test_an_address_that_is_none_names_who_gave_it(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--address", address]) == 2
    assert capsys.readouterr().err.startswith("textvae: --address: must be host:port, as ")
    monkeypatch.setenv("TEXTVAE_ADDRESS", address)
    assert main(["info"]) == 2
    assert capsys.readouterr().err.startswith("textvae: TEXTVAE_ADDRESS: must be host:port, as ")
    for kind in (Client, AsyncClient):
        with pytest.raises(InputError, match="TEXTVAE_ADDRESS: must be host:port"):
            kind()


@pytest.mark.parametrize("address", ["localhost:1", "10.0.0.7:50061", "[::1]:50061", "dns:///a:1"])
def test_what_grpc_takes_is_an_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTVAE_ADDRESS", address)
    assert default_target() == address


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_methods_of_a_client_have_the_signatures_that_callers_see(kind: type) -> None:
    encode = inspect.signature(kind.encode)  # type: ignore[attr-defined]
    assert list(encode.parameters) == [
        "self", "sentences", "logvar", "samples", "seed", "first_index"
    ]  # fmt: skip
    assert encode.return_annotation is EncodeResult
    paraphrase = inspect.signature(kind.paraphrase)  # type: ignore[attr-defined]
    assert paraphrase.return_annotation is ParaphraseResult
    assert paraphrase.parameters["radius"].default == 1.0
    text = pydoc.plain(pydoc.render_doc(kind))
    assert "Generator" not in text
    assert "CallRequest" not in text
    for name in ("encode", "decode", "sample", "interpolate", "paraphrase", "score"):
        method = getattr(kind, name)
        assert method.__doc__ == getattr(calls, name).__doc__
        assert inspect.iscoroutinefunction(method) == (kind is AsyncClient)


def test_alternatives_of_a_beam_are_rows_of_their_own(
    toy_server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    words = ["--beam", "4", "--alternatives", "2", "--address", toy_server.address]
    for command in (["paraphrase", "--count", "1", *SENTENCES], ["interpolate", *SENTENCES]):
        assert main([*command, *words]) == 0
        table = capsys.readouterr().out
        assert "{" not in table
        assert "rank" in table
        ranks = [row.split("\u2502") for row in table.splitlines() if "\u2502" in row]
        found = [cell.strip() for row in ranks for cell in row if cell.strip() in ("1", "2", "3")]
        assert found[:3] == ["1", "2", "3"]
    assert main(["interpolate", *SENTENCES, "--json", *words]) == 0
    assert all(len(row["alternatives"]) == 2 for row in lines(capsys.readouterr().out))


def test_what_distinct_leaves_out_is_said(
    toy_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--distinct", "--radius", "0", "--count", "3", "--address", toy_server.address)
    assert main(["paraphrase", *SENTENCES, *words, "--json"]) == 0
    output, errors = capsys.readouterr()
    found = [row for row in lines(output) if "missing" in row]
    assert [row["sentence"] for row in found] == SENTENCES
    assert set(found[0]["missing"]) <= {"copy", "repeat"}
    assert errors == (
        "textvae: fewer variations than asked for of 2 sentences; a row with the key missing says "
        "why\n"
    )
    done = terminal("paraphrase", *words, stdin="\n".join(SENTENCES))
    assert "textvae: line 2 of stdin: " in done.stderr
    assert " of 3 variations; missing for " in done.stderr
    assert " repeat" in done.stderr


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x"])
def test_latents_go_to_no_file_that_is_called_otherwise(
    name: str, toy_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    words = ["encode", "a", "--output", str(path), "--address", toy_server.address]
    assert main(words) == 2
    assert capsys.readouterr().err == (
        f"textvae: --output: must end in .npz, got {path}; for text leave it out and write --json "
        "> FILE.jsonl\n"
    )
    assert not path.exists()
