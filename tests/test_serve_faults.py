"""A server whose address, registry or clients are not as they should be."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import STOP_S, copied, serving, start, within
from textvae.client import Client
from textvae.config.serve import ServeConfig
from textvae.errors import InputError


def fails(registry: Path, *flags: str) -> tuple[int, str]:
    """Exit code and stderr of a server that does not begin."""
    process = start(registry, *flags, log=subprocess.PIPE)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize("port", ["65536", "70000", "-1", "99999999999"])
def test_a_port_that_there_is_not_is_refused(port: str, registry: Path) -> None:
    code, errors = fails(registry, f"--port={port}")
    assert code == 2
    assert f"serve.port: must be 0 to 65535, got {port}" in errors


@pytest.mark.parametrize("flags", [("--registry", ""), ("--config=",)])
def test_an_empty_path_is_not_the_working_folder(flags: tuple[str, ...], registry: Path) -> None:
    name = flags[0].strip("-=")
    assert fails(registry, *flags) == (
        2,
        f"textvae serve: {name}: must be a path, got an empty one\n",
    )


@pytest.mark.parametrize(
    ("setting", "value", "least"),
    [("poll_s", 0.0, "0.01"), ("poll_s", 0.001, "0.01"), ("retry_s", 0.0, "0.1"),
     ("poll_s", -1.0, "0.01"), ("poll_s", float("nan"), "0.01")],
)  # fmt: skip
def test_a_server_that_would_poll_without_a_pause_is_refused(
    setting: str, value: float, least: str
) -> None:
    with pytest.raises(InputError, match=rf"serve\.{setting}: must be {least} or more"):
        ServeConfig(**{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("no.such.host.invalid", "host: 'no.such.host.invalid' is no address of a network ("),
        ("300.1.1.1", "host: '300.1.1.1' is no address of a network ("),
        ("192.0.2.1", "host: 192.0.2.1 is no address of this machine ("),
        ("2001:db8::1", "host: 2001:db8::1 is no address of this machine ("),
    ],
)
def test_a_host_that_cannot_be_bound_is_named_as_the_host(
    host: str, message: str, registry: Path
) -> None:
    code, errors = fails(registry, "--host", host, "--insecure")
    assert code == 2
    if "invalid" in host or host == "300.1.1.1":
        assert fails(registry, "--host", host)[1].endswith(errors.splitlines()[-1] + "\n")
    last = errors.splitlines()[-1]
    assert last.startswith(f"textvae serve: {message}")
    assert last.endswith("; bind 127.0.0.1, or an address of this machine")
    assert "Traceback" not in errors


def test_a_registry_that_may_not_be_read_is_an_error_in_words(registry: Path) -> None:
    code = (
        "import sys, pathlib; from textvae.serve.__main__ import main\n"
        "def fail(path): raise PermissionError(13, 'Permission denied', str(path))\n"
        "pathlib.Path.read_bytes = fail\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--registry", str(registry), "--model", "toy", "--port", "0"]
    done = subprocess.run(
        [sys.executable, "-c", code, *flags], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (74, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("textvae serve: [Errno 13] Permission denied: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["moved", "emptied", "unreadable"])
def test_a_registry_that_goes_away_is_a_champion_problem_and_no_traceback(
    how: str, registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    promotions, away = own / "toy" / "promotions", tmp_path / "away"
    with serving(own, "--poll-s", "0.05") as server, Client(server.address) as client:
        assert client.info().champion_problem == ""
        if how == "moved":
            own.rename(away)
        else:
            promotions.rename(away)
        if how == "unreadable":
            (promotions / "000001.json").mkdir(parents=True)
        within(20, lambda: client.info().champion_problem != "")
        problem = "the promotions cannot be read; the server's log says why"
        assert client.info().champion_problem == problem
        assert client.encode(["a dog"]).facts.version == server.version
        time.sleep(0.3)
        assert server.log_text().count("cannot check for a new champion of toy: ") == 1
        assert "Traceback" not in server.log_text()
        if how == "unreadable":
            (promotions / "000001.json").rmdir()
            promotions.rmdir()
        away.rename(own if how == "moved" else promotions)
        within(20, lambda: client.info().champion_problem == "")


@contextlib.contextmanager
def eager(registry: Path) -> Iterator[str]:
    """A server whose shortest time between pings is a hundredth of the usual one."""
    code = (
        "import sys, textvae.serve.server as server; server.PING_MIN_MS //= 100;"
        "from textvae.serve.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--registry", str(registry), "--model", "toy", "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *flags],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ},
    )  # fmt: skip
    assert process.stdout
    try:
        ready = re.search(r"at (\S+)$", process.stdout.readline())
        assert ready
        yield ready[1]
    finally:
        process.terminate()
        process.wait(STOP_S)
        process.stdout.close()


def frames_after_pings(address: str, pause_s: float) -> list[int]:
    """The kinds of frames that a server sends to a client that pings eight times, without calls."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        for _ in range(8):
            time.sleep(pause_s)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                link.sendall(b"\0\0\x08\x06\0\0\0\0\0" + b"12345678")
        link.settimeout(0.5)
        received = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while data := link.recv(65536):
                received += data
    kinds = []
    while received:
        kinds.append(received[3])
        received = received[9 + int.from_bytes(received[:3]) :]
    return kinds


def test_pings_of_an_idle_client_are_allowed_at_the_promised_interval(registry: Path) -> None:
    goaway, ping = 7, 6
    with eager(registry) as address:
        assert frames_after_pings(address, 0.30).count(ping) == 8
        assert goaway not in frames_after_pings(address, 0.30)
        assert goaway in frames_after_pings(address, 0.01)
