"""Proxies of the environment: never to this machine, and named where they stand between."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.proxy import ALL, DEAD, EXCEPTIONS, VARIABLES, proxy
from tests.serving import Server, serving
from textvae.cli.commands import main
from textvae.client import AsyncClient, Client
from textvae.config.nightly import NightlyConfig
from textvae.config.serve import ServeConfig
from textvae.errors import UnavailableError
from textvae.proxies import channel_options, host_of, pass_by_proxies, proxy_between
from textvae.release.smoke_test import call_every_method
from textvae.store.versions import Version


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ALL:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("exception", ["", *EXCEPTIONS])
def test_calls_to_this_machine_pass_by_a_dead_proxy(
    variable: str, exception: str, toy_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, DEAD)
    if exception:
        monkeypatch.setenv(exception, "example.org")
    port = toy_server.address.rpartition(":")[2]
    for target in (toy_server.address, f"localhost:{port}", f"dns:///localhost:{port}"):
        with Client(target, timeout_s=20) as client:
            assert client.health()
            assert len(client.sample(2).sentences) == 2


async def _asked(address: str) -> bool:
    async with AsyncClient(address, timeout_s=20) as client:
        return await client.health()


@pytest.mark.parametrize("variable", VARIABLES)
def test_nothing_meant_for_this_machine_reaches_a_living_proxy(
    variable: str,
    toy_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:

    with proxy() as (address, reached):
        monkeypatch.setenv(variable, address)
        assert main(["health", "--address", toy_server.address]) == 0
        assert asyncio.run(_asked(toy_server.address))
    assert reached == []
    assert "SERVING" in capsys.readouterr().out


def test_a_server_started_under_a_proxy_is_called_by_ipv6_too(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    with serving(registry, "--host", "::1") as server, Client(server.address) as client:
        assert client.health()


def test_the_smoke_test_of_a_nightly_run_finds_no_fault_under_a_proxy(
    toy_version: tuple[Path, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    registry, version = toy_version
    sentences = ["the cat sees the dog", "a dog"]
    answers = call_every_method(registry, version, sentences, NightlyConfig(), ServeConfig())
    assert answers.faults == []


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
@pytest.mark.parametrize("alive", [False, True])
def test_the_error_names_a_proxy_between_client_and_server(
    variable: str, alive: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with proxy() as (living, reached):
        address = (living if alive else DEAD).removeprefix("http://")
        monkeypatch.setenv(variable, f"http://name:secret@{address}")
        with Client("192.0.2.1:50061", timeout_s=5) as client:
            with pytest.raises(UnavailableError) as error:
                client.info()
        assert main(["health", "--address", "192.0.2.1:50061", "--timeout", "5", "--json"]) == 1
    assert bool(reached) == alive
    assert str(error.value).endswith(
        f"; the proxy of {variable}={address} in the environment stood between: "
        "list the host in no_proxy to go without"
    )
    assert "secret" not in str(error.value)
    assert f'"proxy": "{variable}={address}"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("127.0.0.1:50061", "127.0.0.1"),
        ("models.example.org:443", "models.example.org"),
        ("models.example.org", "models.example.org"),
        ("[::1]:50061", "::1"),
        ("::1", "::1"),
        ("dns:models:443", "models"),
        ("dns:///models:443", "models"),
        ("dns://192.0.2.53/models:443", "models"),
        ("ipv4:10.0.0.7:443", "10.0.0.7"),
        ("ipv6:[fe80::1%25eth0]:443", "fe80::1%25eth0"),
        ("unix:/run/textvae.sock", ""),
    ],
)
def test_the_host_of_each_form_of_target(target: str, host: str) -> None:
    assert host_of(target) == host


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "a.localhost", "localhost.", "0.0.0.0",
     "[::1]", "[::]", "[::ffff:127.0.0.1]"],
)  # fmt: skip
def test_every_spelling_of_this_machine_goes_without_a_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    assert channel_options(f"{host}:50061") == (("grpc.enable_http_proxy", 0),)
    assert proxy_between(f"{host}:50061") == ""
    assert channel_options("127.0.0.1.example.org:1") == ()


@pytest.mark.parametrize(
    ("entries", "target", "between"),
    [
        ("", "models.example.org:1", True),
        ("example.org", "models.example.org:1", False),
        (".example.org", "models.example.org:1", False),
        (" a.org , Example.ORG", "models.example.org:1", False),
        ("example.com", "models.example.org:1", True),
        ("10.0.0.0/8", "10.1.2.3:1", False),
        ("10.0.0.0/8", "11.1.2.3:1", True),
    ],
)
def test_no_proxy_is_read_as_grpc_reads_it(
    entries: str, target: str, between: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", entries)
    assert bool(proxy_between(target)) == between
    monkeypatch.setenv("grpc_proxy", "")  # gRPC: no proxy at all
    assert proxy_between(target) == ""


@pytest.mark.parametrize(
    ("host", "before", "after"),
    [
        ("127.0.0.1", "", "127.0.0.1"),
        ("localhost", "example.org", "example.org,localhost"),
        ("mlflow.example.org", "example.com", "example.com"),
        ("", "", ""),
    ],
)
def test_other_libraries_pass_by_a_proxy_to_this_machine_too(
    host: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", before)
    pass_by_proxies(host)
    assert os.environ["no_proxy"] == after
