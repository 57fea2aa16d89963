"""How a run over many lines shows its progress, and holds on to one version for a file."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.serving import Server, another_version, copied, put_in_service, serving, within
from tests.test_cli import lines
from textvae.cli import progress
from textvae.cli.commands import main
from textvae.client import Client

LINES = [f"the cat sees the dog {number}" for number in range(30)]


class Stdin:
    """Stdin that gives one piece, then does something, then gives another."""

    def __init__(self, pieces: list[str], between: object) -> None:
        self._pieces, self._between = [piece.encode() for piece in pieces], between
        self.buffer, self.closed = self, False

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise OSError("no descriptor")

    def read1(self, _: int) -> bytes:
        if len(self._pieces) == 1 and callable(self._between):
            self._between()
        return self._pieces.pop(0) if self._pieces else b""


def test_latents_of_a_file_are_of_the_newest_version_where_it_changes_in_the_middle(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copied(registry, tmp_path)
    new = another_version(own)
    path = tmp_path / "latents.npz"
    with serving(own, "--poll-s", "0.05") as server, Client(server.address) as client:

        def promote() -> None:
            put_in_service(own, new)
            within(20, lambda: client.info().version == new.name)

        pieces = ["\n".join(LINES[:10]) + "\n", "\n".join(LINES[10:])]
        monkeypatch.setattr(sys, "stdin", Stdin(pieces, promote))
        words = ("--samples", "2", "--seed", "3", "--address", server.address)
        assert main(["encode", "--output", str(path), *words]) == 0
        expected = client.encode(LINES, samples=2, seed=3)
    assert expected.samples is not None
    with np.load(path) as arrays:
        assert str(arrays["version"]) == new.name
        assert list(arrays["sentences"]) == LINES
        assert np.array_equal(arrays["mean"], expected.mean.values)
        assert np.array_equal(arrays["samples"], expected.samples.values)


def test_progress_is_items_done_their_rate_and_the_time_left() -> None:
    assert progress.figures_of("line", 1500, 6000, 10.0) == (
        "1,500 of 6,000 lines, 150.0 a second, 0:00:30 left"
    )
    assert progress.figures_of("row", 1500, None, 10.0) == "1,500 rows, 150.0 a second"
    assert progress.figures_of("line", 0, 10, 0.0) == "0 of 10 lines, 0.0 a second"


def test_without_a_terminal_there_is_a_line_each_interval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.show_progress("line", 4) as on_done:
        on_done(1)
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        on_done(2)
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("textvae: 2 of 4 lines, ")


def test_on_a_terminal_there_is_a_bar_and_stdout_stays_as_it_is(
    toy_server: Server, tmp_path: Path
) -> None:
    text = tmp_path / "lines.txt"
    text.write_text("\n".join(LINES))
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "textvae.cli", "encode", "--json"]
    with text.open("rb") as stdin:
        done = subprocess.run(
            [*command, "--address", toy_server.address],
            stdin=stdin, stdout=subprocess.PIPE, stderr=follower, timeout=60,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert done.returncode == 0
    assert [row["sentence"] for row in lines(done.stdout.decode())] == LINES
    assert "30 of 30 lines, " in shown
