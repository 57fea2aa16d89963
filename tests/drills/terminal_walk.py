"""Many lines through each command of the terminal, with a server that is away in the middle."""

import logging
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.drills import environments
from tests.drills.environments import Environment

log = logging.getLogger(__name__)

SEED = ("--seed", "7", "--json")
VERBS = {
    "encode": ("encode", *SEED),
    "score": ("score", "--importance-samples", "2", *SEED),
    "paraphrase": ("paraphrase", "--count", "1", *SEED),
}
POINTS = 64
"""Lines of one path at most, as a server has it."""
START_S = 60
WAITING = "; waiting"
"""What a command says while a server is away."""


class Server:
    """The server of a champion, at one port."""

    def __init__(self, made: Environment, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._made, self._folder = made, folder
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns once it serves."""
        words = ("serve", "--config", "nightly.toml", "--port", str(self.port), "--threads", "1")
        log_path = self._folder / "server.log"
        with log_path.open("a") as stream:
            self._process = subprocess.Popen(
                self._made.command(*words),
                cwd=self._folder,
                env=environments.environment(),
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.endswith(f"{self.address}\n"), (line, log_path.read_text()[-2000:])

    def stop(self, *, at_once: bool = False) -> None:
        """SIGTERM, or at once SIGKILL, and its end."""
        assert self._process is not None
        (self._process.kill if at_once else self._process.terminate)()
        self._process.wait(START_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Walk:
    """A client's commands over many lines, undisturbed and past a restart of the server."""

    def __init__(self, client: Environment, server: Server, folder: Path, lines: list[str]) -> None:
        self._client, self._server, self._folder, self._lines = client, server, folder, lines
        self._to = ("--address", server.address)
        self._said = folder / "stderr.txt"
        self.same: dict[str, bool] = {}
        self.waited: dict[str, bool] = {}

    def all_verbs(self) -> None:
        """Every command that takes many lines or latents."""
        for name, words in VERBS.items():
            self._verb(name, *words)
        self._latents()
        self._paths()

    def _judge(self, name: str, whole: str, output: str, rows: int) -> None:
        """Compare with the undisturbed run, which has a row a line."""
        said = self._said.read_text()
        self.same[name] = output == whole and whole.count("\n") == rows == len(self._lines)
        self.waited[name] = WAITING in said
        log.info("%s: %d rows, same %s; %s", name, output.count("\n"), self.same[name], said[-400:])

    def _undisturbed(self, *words: str, stdin: str = "") -> str:
        done = self._client.run(self._folder, *words, *self._to, stdin=stdin)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def _start(self, *words: str) -> subprocess.Popen[str]:
        with self._said.open("w") as stream:
            return subprocess.Popen(
                self._client.command(*words, *self._to),
                cwd=self._folder,
                env=environments.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )

    def _rest(self, process: subprocess.Popen[str]) -> str:
        """What a command writes once its server, which is away, is there again."""
        until_s = time.monotonic() + START_S
        while WAITING not in self._said.read_text() and process.poll() is None:
            assert time.monotonic() < until_s, "the command does not say that it waits"
            time.sleep(0.02)
        self._server.start()
        return self._end(process)

    def _end(self, process: subprocess.Popen[str]) -> str:
        """What a command still writes until it ends."""
        assert process.stdout is not None
        with process.stdout as stream:
            output = stream.read()
        process.wait(START_S)
        return output

    def _send(
        self, process: subprocess.Popen[str], lines: list[str], *, last: bool
    ) -> threading.Thread:
        """Pipes in lines, and their end after the last, while the answers are read."""

        def write() -> None:
            assert process.stdin is not None
            process.stdin.write("".join(f"{line}\n" for line in lines))
            process.stdin.flush()
            if last:
                process.stdin.close()

        thread = threading.Thread(target=write)
        thread.start()
        return thread

    def _verb(self, name: str, *words: str) -> None:
        """Half of the lines are answered, then the server is away, then come the others."""
        whole = self._undisturbed(*words, stdin="".join(f"{line}\n" for line in self._lines))
        half = len(self._lines) // 2
        process = self._start(*words)
        assert process.stdout is not None
        sent = self._send(process, self._lines[:half], last=False)
        first = [process.stdout.readline() for _ in range(half)]
        sent.join()
        self._server.stop()
        self._send(process, self._lines[half:], last=True)
        self._judge(name, whole, "".join(first) + self._rest(process), whole.count("\n"))

    def _latents(self) -> None:
        """All latents are in a file; the server dies once the first sentences are written."""
        text = "".join(f"{line}\n" for line in self._lines)
        self._undisturbed("encode", "--output", "latents.npz", stdin=text)
        # A wider beam makes blocks of fewer latents, so that there are several.
        words = ("decode", "latents.npz", "--beam", "8", *SEED)
        whole = self._undisturbed(*words)
        process = self._start(*words)
        assert process.stdout is not None
        first = process.stdout.readline()
        self._server.stop(at_once=True)
        self._judge("decode", whole, first + self._rest(process), whole.count("\n"))

    def _paths(self) -> None:
        """The lines are the points of paths; the server is away when the middle one is begun."""
        parts = [self._lines[at : at + POINTS] for at in range(0, len(self._lines), POINTS)]
        whole, output, middle = "", "", len(parts) // 2
        for number, part in enumerate(parts):
            words = ("interpolate", "--steps", str(len(part)), "--wait-s", str(START_S), *SEED)
            whole += self._undisturbed(*words, stdin="".join(f"{line}\n" for line in part))
            if number == middle:
                self._server.stop()
                process = self._start(*words)
                self._send(process, part, last=True)
                output += self._rest(process)
                said = self._said.read_text()
            else:
                process = self._start(*words)
                self._send(process, part, last=True)
                output += self._end(process)
        self._said.write_text(said)
        self._judge("interpolate", whole, output, whole.count('"position"'))
