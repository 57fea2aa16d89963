"""A server whose address, registry or clients are not as they should be."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.http2 import ACK, GOAWAY, PING, Frame, Link, frame, message
from tests.serving import STOP_S, copied, serving, start, within
from textvae.client import Client
from textvae.config.serve import ServeConfig
from textvae.errors import InputError
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub


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
def hasty(registry: Path, *names: str) -> Iterator[str]:
    """A server of which these times are a hundredth of the usual ones."""
    shorter = "".join(f"server.{name} //= 100;" for name in names)
    code = (
        f"import sys, textvae.serve.server as server; {shorter}"
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


def kinds_after_pings(address: str, pause_s: float, *, watches: bool = False) -> list[int]:
    """The kinds of frames that a server sends to a client that pings eight times."""
    frames = list[Frame]()
    with Link(address) as link:
        if watches:
            link.send(link.begin("/grpc.health.v1.Health/Watch"), message(b""))
        for _ in range(8):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                link.socket.sendall(frame(PING, 0, 0, b"12345678"))
            frames += link.frames(pause_s)
        frames += link.frames(0.3)
    # But for the server's own pings.
    return [one.kind for one in frames if one.kind != PING or one.flags & ACK]


@pytest.mark.parametrize("watches", [False, True], ids=["idle", "with an open watch"])
def test_pings_are_allowed_at_the_promised_interval(registry: Path, watches: bool) -> None:
    with hasty(registry, "PING_MIN_MS") as address:
        kinds = kinds_after_pings(address, 0.12, watches=watches)
        assert (kinds.count(PING), kinds.count(GOAWAY)) == (8, 0)
        assert GOAWAY in kinds_after_pings(address, 0.001, watches=watches)


def test_a_client_that_answers_no_ping_is_gone_and_one_that_does_stays(registry: Path) -> None:
    times = ("KEEPALIVE_MS", "KEEPALIVE_TIMEOUT_MS")
    with hasty(registry, *times) as address, grpc.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        next(watch)
        with Link(address) as dead:
            dead.socket.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                while dead.socket.recv(1 << 16):
                    pass  # until the server closes
        assert watch.is_active()


def test_connections_that_end_by_age_cost_no_call(registry: Path) -> None:
    with serving(registry, "--connection-age-s", "0.5") as server:
        # A call that crosses the end of its connection is sent again by gRPC itself (transparent
        # retry), which is on unless a client turns it off.
        with grpc.insecure_channel(server.address) as channel:
            stub, peers = TextVaeServiceStub(channel), set[str]()
            end_s = time.monotonic() + 3
            while time.monotonic() < end_s:
                calls = [stub.Encode.future(pb.EncodeRequest(sentences=["a cat"]))]
                assert [call.result().metadata.version for call in calls] == [server.version]
                peers |= {line.split()[2] for line in connections(server.address)}
    assert len(peers) > 2


def connections(address: str) -> list[str]:
    """The open connections to an address, as the kernel lists them."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    tables = [Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]
    lines = [line for table in tables for line in table.splitlines()[1:]]
    return [line for line in lines if line.split()[1].endswith(port) and line.split()[3] == "01"]
