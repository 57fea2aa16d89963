"""Many lines through the terminal: as they come, in order, whatever happens in between."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving import Server, serving
from tests.test_cli import NOWHERE, SENTENCES, lines, terminal
from textvae.cli.commands import main
from textvae.client import Client, Options

LINES = [f"{SENTENCES[number % 2]} {number}" for number in range(40)]
DRAWS = ("--temperature", "1", "--count", "2", "--seed", "5")


class Pipe:
    """A command that is given its lines one after another."""

    def __init__(self, address: str, *words: str) -> None:
        command = [sys.executable, "-m", "textvae.cli", *words, "--json", "--address", address]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def ask(self, sentences: list[str], rows: int) -> list[dict[str, Any]]:
        """Give lines; return so many rows of their answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("".join(f"{sentence}\n" for sentence in sentences))
        self.process.stdin.flush()
        return [json.loads(self.process.stdout.readline()) for _ in range(rows)]

    def end(self) -> tuple[int, list[dict[str, Any]], str]:
        """Return exit code, the rows that are left, and stderr."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.close()
        with process, process.stdout, process.stderr:
            output, errors = process.stdout.read(), process.stderr.read()
            return process.wait(60), lines(output), errors


@pytest.fixture
def client(toy_server: Server) -> Iterator[Client]:
    with Client(toy_server.address) as client:
        yield client


@pytest.mark.parametrize(
    ("command", "rows"),
    [(("encode", "--samples=2", "--seed=5"), 1), (("paraphrase", *DRAWS), 2), (("score",), 1)],
    ids=["encode", "paraphrase", "score"],
)
def test_a_server_that_restarts_in_the_middle_costs_a_wait_and_no_line(
    command: tuple[str, ...], rows: int, registry: Path, toy_server: Server
) -> None:
    with serving(registry) as first:
        pipe = Pipe(first.address, *command)
        found = pipe.ask(LINES[:10], 10 * rows)
    port = first.address.rpartition(":")[2]
    pipe.ask(LINES[10:25], 0)
    time.sleep(1.5)
    with serving(registry, "--port", port):
        found += pipe.ask(LINES[25:], 30 * rows)
        code, rest, errors = pipe.end()
    assert (code, rest) == (0, [])
    assert "no server answers" in errors
    assert "waiting at line " in errors
    seed = f"--seed={found[0]['seed']}"
    words = (*command, seed, "--json", "--address", toy_server.address)
    assert found == lines(terminal(*words, stdin="\n".join(LINES)).stdout)
    assert [row["line"] for row in found[::rows]] == list(range(1, 41))


def test_a_server_that_stays_away_ends_the_run_after_the_wait_and_says_how_far_it_came(
    registry: Path,
) -> None:
    with serving(registry) as server:
        pipe = Pipe(server.address, "encode", "--wait-s", "2")
        pipe.ask(LINES[:10], 10)
    begun = time.monotonic()
    pipe.ask(LINES[10:], 0)
    code, rest, errors = pipe.end()
    assert (code, rest) == (75, [])
    assert 1.5 < time.monotonic() - begun < 20
    assert "; the answers of 10 lines, up to line 10 of stdin, are written\n" in errors


def test_an_address_without_a_server_is_waited_for_only_on_demand() -> None:
    assert terminal("score", "a", "--address", NOWHERE).returncode == 75
    for words, code in ((("score", "a"), 75), (("info",), 75), (("health",), 1)):
        begun = time.monotonic()
        assert terminal(*words, "--address", NOWHERE, "--wait-s", "3").returncode == code
        assert 3 < time.monotonic() - begun < 30


def test_a_server_that_is_stopped_for_longer_than_a_call_may_take_loses_no_line(
    registry: Path,
) -> None:
    with serving(registry) as server:
        pipe = Pipe(server.address, "encode", "--timeout", "0.7")
        found = pipe.ask(LINES[:5], 5)
        server.process.send_signal(signal.SIGSTOP)
        try:
            pipe.ask(LINES[5:], 0)
            time.sleep(3)
        finally:
            server.process.send_signal(signal.SIGCONT)
        code, rest, errors = pipe.end()
    assert code == 0
    assert "no answer within 0.7 s" in errors
    assert [row["sentence"] for row in [*found, *rest]] == LINES


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_written_before_a_signal_is_whole_lines(
    number: signal.Signals, code: int, toy_server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "calls.json"
    pipe = Pipe(toy_server.address, "encode", "--record", str(path))
    found = pipe.ask(LINES[:10], 10)
    pipe.process.send_signal(number)
    ended = pipe.end()
    assert ended[:2] == (code, [])
    assert [row["sentence"] for row in found] == LINES[:10]
    assert ended[2] == (
        f"textvae: interrupted by {number.name}; the answers of 10 lines, up to line 10 of stdin, "
        "are written\n"
    )
    again = terminal("replay", str(path), "--address", toy_server.address)
    assert again.returncode == 0


def test_a_signal_among_many_lines_leaves_a_beginning_of_whole_lines(toy_server: Server) -> None:
    pipe = Pipe(toy_server.address, "score")
    found = pipe.ask(LINES * 20, 1)
    pipe.process.send_signal(signal.SIGINT)
    code, rest, errors = pipe.end()
    found += rest
    assert code == 130
    assert 0 < len(found) < len(LINES * 20)
    assert [row["sentence"] for row in found] == (LINES * 20)[: len(found)]
    assert f"the answers of {len(found)} lines, up to line {len(found)} of stdin" in errors


def test_a_bad_line_costs_itself_and_changes_no_other_answer(
    toy_server: Server, client: Client
) -> None:
    texts = [*LINES]
    texts[4], texts[20], texts[39] = "x" * 1001, "\x07", "y" * 2000
    words = ("paraphrase", *DRAWS, "--json", "--address", toy_server.address)
    done = terminal(*words, stdin="\n".join(texts))
    assert done.returncode == 65
    assert done.stderr.splitlines()[0].startswith("textvae: line 5 of stdin: must be at most 1000")
    assert done.stderr.endswith("textvae: 3 of 40 lines failed\n")
    found = lines(done.stdout)
    failed = {row["line"]: row["error"] for row in found if "error" in row}
    assert sorted(failed) == [5, 21, 40]
    assert failed[21].startswith("holds control characters only")
    # As one call of all lines, had the bad ones been sound.
    varied = client.paraphrase(LINES, 2, options=Options(temperature=1), seed=5)
    expected = {
        number: [one.text for one in each.sentences]
        for number, each in enumerate(varied.variations, start=1)
    }
    answers = {
        number: [row["text"] for row in found if row["line"] == number and "text" in row]
        for number in expected
    }
    assert answers == {n: [] if n in failed else texts for n, texts in expected.items()}
    assert [row["line"] for row in found] == sorted(row["line"] for row in found)


def test_a_lock_that_some_lines_lack_costs_those_lines(toy_server: Server) -> None:
    words = ("paraphrase", "--lock", "cat", "--count", "1", "--json")
    done = terminal(*words, "--address", toy_server.address, stdin="\n".join(SENTENCES * 2))
    assert done.returncode == 65
    failed = [row for row in lines(done.stdout) if "error" in row]
    assert [row["line"] for row in failed] == [2, 4]
    assert "and does not in line 4 of stdin;" in failed[1]["error"]


def test_a_wrong_flag_is_an_error_of_the_run_and_not_of_a_line(toy_server: Server) -> None:
    words = ("paraphrase", "--count", "0", "--json", "--address", toy_server.address)
    done = terminal(*words, stdin="\n".join(LINES))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("textvae: count: must be 1 to 1024, got 0")


def test_lines_given_one_by_one_are_answered_one_by_one_with_the_same_bytes(
    toy_server: Server,
) -> None:
    """Also with gaps: an answer goes by the seed and the number of its line alone."""
    pipe = Pipe(toy_server.address, "paraphrase", *DRAWS)
    found = [row for line in LINES[:6] for row in pipe.ask([line], 2)]
    assert pipe.end()[:2] == (0, [])
    words = ("paraphrase", *DRAWS, "--json", "--address", toy_server.address)
    assert lines(terminal(*words, stdin="\n".join(LINES[:6])).stdout) == found


def test_all_calls_of_many_lines_are_recorded_and_answered_the_same_again(
    toy_server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "calls.json"
    words = ("--record", str(path), "--address", toy_server.address, "--importance-samples", "5")
    texts = [*LINES * 8, "x" * 1001]
    assert terminal("score", *words, stdin="\n".join(texts)).returncode == 65
    calls = json.loads(path.read_text())["calls"]
    assert sum(len(call["request"]["sentences"]) for call in calls) == 320
    assert len(calls) > 1
    assert terminal("replay", str(path), "--address", toy_server.address).returncode == 0


def test_a_reader_who_has_enough_ends_the_work(toy_server: Server) -> None:
    """Endless input: without an end of its own the command would go on for ever."""
    command = f"{sys.executable} -m textvae.cli score --json --address {toy_server.address}"
    shell = f"yes 'the cat sees the dog' | {command} | head -n 2"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=60)
    assert len(lines(done.stdout)) == 2
    assert done.stderr == ""


def test_a_table_of_many_lines_has_one_header_and_columns_that_stay(
    toy_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    words = ("score", "--importance-samples", "5", "--address", toy_server.address)
    done = terminal(*words, stdin="\n".join(LINES * 15))
    rows = [line for line in done.stdout.splitlines() if "\u2502" in line]
    assert done.stdout.count("iw_nll_nats") == 1
    assert len({tuple(i for i, char in enumerate(row) if char == "\u2502") for row in rows}) == 1
    assert sum("the " in row for row in rows) == 600
    assert done.stdout.splitlines()[-1].startswith(f"version {toy_server.version}, seed ")


def test_latents_of_many_lines_come_from_one_version_in_a_whole_file(
    toy_server: Server, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "latents.npz"
    words = ("--samples", "2", "--seed", "3", "--address", toy_server.address)
    texts = [*LINES * 10, "x" * 1001]
    done = terminal("encode", "--output", str(path), *words, stdin="\n".join(texts))
    assert done.returncode == 65
    encoded = client.encode(texts[:-1], samples=2, seed=3)
    assert encoded.samples is not None
    with np.load(path) as arrays:
        assert list(arrays["sentences"]) == texts[:-1]
        assert np.array_equal(arrays["mean"], encoded.mean.values)
        assert np.array_equal(arrays["samples"], encoded.samples.values)


def test_a_latent_that_is_refused_costs_itself(
    client: Client, tmp_path: Path, toy_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    encoded = client.encode(LINES)
    values = encoded.mean.values.copy()
    values[7, 0] = np.nan
    path = tmp_path / "latents.npz"
    np.savez(path, mean=values, version=np.array(encoded.mean.version))
    assert main(["decode", str(path), "--json", "--address", toy_server.address]) == 65
    output, errors = capsys.readouterr()
    found = lines(output)
    assert [row["latent"] for row in found if "error" in row] == [8]
    assert len(found) == 40
    assert errors.startswith(f"textvae: latent 8 of {path}: ")
    expected = client.decode(encoded.mean).sentences
    assert [row.get("text") for row in found] == [
        None if number == 7 else one.text for number, one in enumerate(expected)
    ]
