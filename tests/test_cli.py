"""The terminal: tables, JSON lines, files of latents, the probe, exit codes."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving import Server
from textvae.cli import flags
from textvae.cli.commands import main
from textvae.client import Client
from textvae.options import (
    CLOSENESS_DEFAULT,
    GREEDY,
    IMPORTANCE_SAMPLES_DEFAULT,
    METHOD_DEFAULT,
    PATH_DEFAULT,
    PRIOR_DEFAULT,
    RADIUS_DEFAULT,
    SCALE_DEFAULT,
)

SENTENCES = ["the cat sees the dog", "the teacher does not find the letter"]
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def run(toy_server: Server, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command against the toy server: (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--address", toy_server.address])
        return code, *capsys.readouterr()

    return run


def terminal(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with stdin."""
    command = [sys.executable, "-m", "textvae.cli", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)


def lines(output: str) -> list[dict[str, Any]]:
    """The objects of --json."""
    return [json.loads(line) for line in output.splitlines()]


def test_latents_go_to_a_file_and_come_back_as_sentences(
    run: Any, toy_server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "latents.npz"
    code, _, _ = run("encode", *SENTENCES, "--samples", "2", "--logvar", "--output", str(path))
    assert code == 0
    with np.load(path) as arrays:
        assert arrays["version"] == toy_server.version
        assert list(arrays["sentences"]) == SENTENCES
        assert len(arrays["samples"]) == 2 * len(arrays["logvar"]) == 4
    with Client(toy_server.address) as client:
        expected = client.decode(client.encode(SENTENCES).mean).sentences
    code, output, _ = run("decode", str(path), "--json")
    assert code == 0
    assert [line["text"] for line in lines(output)] == [sentence.text for sentence in expected]
    assert len(lines(run("decode", str(path), "--part", "samples", "--json")[1])) == 4


def test_every_line_of_json_says_what_makes_it_again(run: Any, toy_server: Server) -> None:
    code, output, _ = run("sample", "--count", "3", "--temperature", "0.7", "--json")
    assert code == 0
    sampled = lines(output)
    assert {line["version"] for line in sampled} == {toy_server.version}
    again = ("--temperature", "0.7", "--seed", str(sampled[0]["seed"]))
    assert lines(run("sample", "--count", "3", *again, "--json")[1]) == sampled


@pytest.mark.parametrize(
    ("words", "columns", "count"),
    [
        (["encode", *SENTENCES], {"sentence", "mean"}, 2),
        (["encode", "--logvar", "--samples=1", *SENTENCES], {"mean", "logvar", "samples"}, 2),
        (["sample", "--prior=standard", "--scale=0.5"], {"text", "log_prob", "prior"}, 10),
        (["interpolate", *SENTENCES, "--path=slerp"], {"position", "text"}, 7),
        (["paraphrase", *SENTENCES, "--count=2"], {"sentence", "text", "distance"}, 4),
        (["score", *SENTENCES], {"reconstruction_nats", "kl_nats", "elbo_nats", "iw_nll_nats"}, 2),
        (["info"], {"version", "limits", "load"}, 1),
        (["health"], {"address", "status"}, 1),
    ],
)
def test_each_command_has_lines_for_pipes_and_a_table_for_people(
    words: list[str], columns: set[str], count: int, run: Any
) -> None:
    code, output, _ = run(*words, "--json")
    assert code == 0
    assert len(lines(output)) == count
    assert all(columns <= line.keys() for line in lines(output))
    code, output, _ = run(*words)
    assert code == 0
    assert "\u2502" in output


def test_sentences_come_from_a_pipe_too(toy_server: Server) -> None:
    stdin = "".join(f"{sentence}\n" for sentence in SENTENCES)
    done = terminal("score", "--json", "--address", toy_server.address, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line["sentence"] for line in lines(done.stdout)] == SENTENCES


def test_health_is_a_probe(toy_server: Server) -> None:
    healthy = terminal("health", "--address", toy_server.address)
    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert "SERVING" in healthy.stdout
    lost = terminal("health", "--address", NOWHERE)
    assert (lost.returncode, lost.stderr) == (1, "")
    assert "NOT_SERVING" in lost.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["encode", " "],
            2,
            "textvae: sentence 1: must not be empty; "
            "send at least one character that is not a space\n",
        ),
        (["interpolate", "a", "b", "--steps=0"], 2, "textvae: steps: must be 2 to 64, got 0\n"),
        (["sample", "--count=0"], 2, "textvae: count: must be 1 to 1024, got 0\n"),
        (
            ["decode", "nowhere.npz"],
            66,
            "textvae: nowhere.npz: no such file; textvae encode --output writes one\n",
        ),
    ],
)
def test_errors_end_with_their_exit_code_and_message(
    words: list[str], code: int, message: str, run: Any
) -> None:
    assert run(*words) == (code, "", message)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04torn", b"\x80\x04N."])
def test_a_file_that_holds_no_latents_is_refused(content: bytes, run: Any, tmp_path: Path) -> None:
    path = tmp_path / "latents.npz"
    path.write_bytes(content)
    problem = "is no .npz file with mean and version; textvae encode --output writes one"
    assert run("decode", str(path)) == (65, "", f"textvae: {path}: {problem}\n")


def test_a_path_that_cannot_be_read_or_written_is_exit_code_74(run: Any, tmp_path: Path) -> None:
    problem = f"textvae: [Errno 21] Is a directory: '{tmp_path}'\n"
    assert run("decode", str(tmp_path)) == (74, "", problem)
    (tmp_path / "a.npz").mkdir()
    code, _, output = run("encode", "a", "--output", str(tmp_path / "a.npz"))
    assert (code, output[:18]) == (74, "textvae: [Errno 21")


def test_no_server_is_exit_code_75() -> None:
    done = terminal("sample", "--address", NOWHERE)
    assert done.returncode == 75
    assert done.stderr.startswith(f"textvae: {NOWHERE}: no server answers")


def test_a_reader_who_has_enough_is_no_error(toy_server: Server) -> None:
    command = f"{sys.executable} -m textvae.cli sample --count 1000 --tokens-max 3 --json"
    shell = f"{command} --address {toy_server.address} | head -c 1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{", "")


def test_wrong_words_are_exit_code_2() -> None:
    assert terminal("dream").returncode == 2
    assert terminal("sample", "--dream").returncode == 2
    assert terminal().returncode == 2


def test_serve_becomes_the_server_s_own_command(tmp_path: Path) -> None:
    output = terminal("serve", "--help")
    assert output.returncode == 0
    assert "--drain-s" in output.stdout
    lost = terminal("serve", "--registry", str(tmp_path), "--model", "toy", "--port", "0")
    assert lost.returncode == 66
    assert "no champion" in lost.stderr


COMMANDS = {
    "encode": ("encode", *SENTENCES, "--samples", "2", "--logvar"),
    "sample": ("sample", "--count", "3", "--temperature", "1", "--no-repeat", "3"),
    "interpolate": ("interpolate", *SENTENCES, "--steps", "4"),
    "paraphrase": ("paraphrase", *SENTENCES, "--distinct"),
    "score": ("score", *SENTENCES, "--importance-samples", "3"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recorded_call_is_answered_the_same_again(run: Any, tmp_path: Path, command: str) -> None:
    """Without a seed of its own the request is repeated with the one that the server drew."""
    path = str(tmp_path / "calls.json")
    assert run(*COMMANDS[command], "--record", path)[0] == 0
    code, output, _ = run("replay", path, "--json")
    assert lines(output) == [{"method": command.capitalize(), "same": True, "differs": ""}]
    assert code == 0


def test_another_answer_is_named_and_is_exit_code_1(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    run("sample", "--count", "2", "--record", str(path))
    recorded = json.loads(path.read_text())
    recorded["calls"][0]["response"]["sentences"][1]["text"] += "!"
    path.write_text(json.dumps(recorded))
    code, output, _ = run("replay", str(path), "--json")
    assert lines(output) == [{"method": "Sample", "same": False, "differs": "sentences"}]
    assert code == 1


@pytest.mark.parametrize("content", ["", "{}", '{"calls": [{"method": "Nothing"}]}', "[1]"])
def test_a_file_without_calls_is_refused(run: Any, tmp_path: Path, content: str) -> None:
    path = tmp_path / "calls.json"
    path.write_text(content)
    code, _, output = run("replay", str(path))
    assert (code, output) == (65, f"textvae: {path}: holds no calls; write it with --record\n")


def parsed(add: Any, *words: str) -> dict[str, Any]:
    """The flags that a command parses."""
    parser = argparse.ArgumentParser()
    add(parser)
    return vars(parser.parse_args(words))


@pytest.mark.parametrize("command", ["decode", "sample", "interpolate", "paraphrase"])
def test_every_sampling_option_is_a_flag_with_its_default(command: str) -> None:
    add, words = getattr(flags, command), ["file"] if command == "decode" else []
    assert parsed(add, *words).items() >= GREEDY._asdict().items()
    for name, default in GREEDY._asdict().items():
        value = type(default)(3)
        found = parsed(add, *words, f"--{name.replace('_', '-')}", "3")[name]
        assert (found, type(found)) == (value, type(default))


def test_the_flags_have_the_defaults_of_the_requests() -> None:
    assert parsed(flags.score)["importance_samples"] == IMPORTANCE_SAMPLES_DEFAULT
    sampled = parsed(flags.sample)
    assert (sampled["prior"], sampled["scale"]) == (PRIOR_DEFAULT, SCALE_DEFAULT)
    assert parsed(flags.interpolate)["path"] == PATH_DEFAULT
    varied = parsed(flags.paraphrase)
    assert (varied["radius"], varied["method"]) == (RADIUS_DEFAULT, METHOD_DEFAULT)
    assert (varied["candidates"], varied["closeness"]) == (0, CLOSENESS_DEFAULT)
    bounds = [varied[name] for name in ("adequacy_min", "fluency_max", "novelty_min")]
    assert bounds == [0.0, None, 0.0]


JUDGED = ("paraphrase", *SENTENCES, "--method=draw", "--candidates=3", "--count=3", "--seed=1")
AXES = {"adequacy", "fluency", "new_words", "new_bigrams"}


def test_judged_variations_show_their_axes_and_others_none(run: Any) -> None:
    _, output, _ = run(*JUDGED, "--radius=2", "--temperature=1", "--json")
    assert all(line.keys() >= AXES for line in lines(output) if "text" in line)
    assert len(lines(output)) >= 6
    assert all(not AXES & line.keys() for line in lines(run("paraphrase", *SENTENCES, "--json")[1]))
    _, table, _ = run(*JUDGED, "--radius=2", "--temperature=1")
    assert all(axis in table for axis in AXES)
    assert "distance" not in table


def test_a_sentence_of_fewer_variations_than_asked_says_why(run: Any) -> None:
    """At radius 0 all candidates of a sentence are one text, and above the bound there is none."""
    code, output, _ = run(*JUDGED, "--radius=0", "--json")
    found = [line for line in lines(output) if "missing" in line]
    assert code == 0
    assert [line["sentence"] for line in found] == SENTENCES
    for line in found:
        given = [one for one in lines(output) if one["sentence"] == line["sentence"]]
        assert len(given) - 1 + len(line["missing"]) == 3
        assert set(line["missing"]) <= {"repeat", "copy"}
    _, table, _ = run(*JUDGED, "--radius=0")
    assert table.count("missing for ") == 2
    assert "repeat" in table
    bound = ("--novelty-min=1", "--adequacy-min=900", "--fluency-max=0.01", "--closeness=0")
    _, output, _ = run(*JUDGED, *bound, "--json")
    assert [line["sentence"] for line in lines(output)] == SENTENCES
    assert all(line["missing"][0] in ("not_adequate", "copy") for line in lines(output))


def test_every_flag_of_paraphrase_reaches_the_request(run: Any, tmp_path: Path) -> None:
    path, how = tmp_path / "calls.json", {"count": 2, "radius": 1.5, "candidates": 3}
    how |= {"closeness": 0.25, "adequacy_min": 0.5, "fluency_max": 4.0, "novelty_min": 0.125}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in how.items()]
    assert run("paraphrase", "a", "--method=draw", *words, "--record", str(path))[0] == 0
    request = json.loads(path.read_text())["calls"][0]["request"]
    assert request.items() >= {**how, "method": "METHOD_DRAW"}.items()
