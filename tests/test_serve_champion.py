"""What a server answers with: the change to a new champion, and back, under load."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.serving import (
    AT,
    LONG,
    Server,
    another_version,
    copied,
    put_in_service,
    serving,
    within,
)
from textvae.config.serve import ServeConfig
from textvae.serve.champion import Champion
from textvae.store.promotions import champion, rollback
from textvae.v1 import model_pb2, model_pb2_grpc
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub


@contextmanager
def calling(server: Server, callers: int = 4) -> Iterator[list[str]]:
    """Callers that never stop; gives the versions that answered, and fails if a call does."""
    versions: list[str] = []
    failures: list[str] = []
    stop = threading.Event()

    def call() -> None:
        request = pb.SampleRequest(count=2, options=pb.Options(tokens_max=8))
        with grpc.insecure_channel(server.address) as channel:
            stub = TextVaeServiceStub(channel)
            while not stop.is_set():
                try:
                    versions.append(stub.Sample(request, timeout=20).metadata.version)
                except grpc.RpcError as error:
                    failures.append(f"{error}")

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield versions
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, f"{len(failures)} calls failed, the first with {failures[0]}"


def problem(server: Server) -> str:
    """What GetServerInfo says of a champion that does not answer."""
    with grpc.insecure_channel(server.address) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        return stub.GetServerInfo(model_pb2.GetServerInfoRequest()).champion_problem


def rolled_back(registry: Path, to: str = "") -> None:
    """The champion that served before, or one by name, serves again."""
    rollback(registry, "toy", reason="a test", actor="test", at=AT, to=to)


def test_a_new_champion_takes_over_under_load_without_a_failed_call(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    new = another_version(own)
    with serving(own, "--poll-s", "0.1") as server, calling(server) as versions:
        within(20, lambda: server.version in versions)
        put_in_service(own, new)
        within(20, lambda: versions.count(new.name) > 20)
    assert set(versions) == {server.version, new.name}


def test_a_call_that_began_on_the_old_champion_ends_on_it(registry: Path, tmp_path: Path) -> None:
    own = copied(registry, tmp_path)
    new = another_version(own)
    with (
        serving(own, "--poll-s", "0.1") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = TextVaeServiceStub(channel)
        calls = [stub.Sample.future(LONG) for _ in range(6)]
        put_in_service(own, new)
        request = pb.SampleRequest(count=1, options=pb.Options(tokens_max=1))
        within(30, lambda: stub.Sample(request).metadata.version == new.name)
        assert {call.result().metadata.version for call in calls} == {server.version}


def test_a_champion_that_cannot_load_leaves_the_old_one_in_service_and_is_logged(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    broken = another_version(own, model=b"no weights")
    with serving(own, "--poll-s", "0.1") as server, calling(server) as versions:
        put_in_service(own, broken)
        complaint = f"cannot load {broken.name}; {server.version} goes on serving"
        within(20, lambda: complaint in server.log_text())
        answered = len(versions)
        within(20, lambda: len(versions) > answered + 20)
        # It is not tried again and again, at ten polls a second, but the next promotion is.
        time.sleep(1)
        assert server.log_text().count(complaint) == 1
        assert server.log_text().count(f"loading {broken.name}") == 1
        assert problem(server) == (
            f"promotion 2 of {broken.name} cannot be served: its files cannot be used; "
            "the server's log says more"
        )
        good = another_version(own, config=b"# another\n")
        put_in_service(own, good)
        within(20, lambda: good.name in versions)
        assert problem(server) == ""
    assert set(versions) == {server.version, good.name}


def test_a_damaged_version_that_was_promoted_changes_nothing_until_it_is_rolled_back(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    damaged = another_version(own)
    weights = damaged.folder / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1])
    with serving(own, "--poll-s", "0.05") as server, calling(server) as versions:
        put_in_service(own, damaged)
        within(20, lambda: problem(server) != "")
        assert problem(server) == (
            f"promotion 2 of {damaged.name} cannot be served: "
            "its files cannot be used; the server's log says more"
        )
        assert f"{weights}: has " in server.log_text()
        rolled_back(own)
        within(5, lambda: problem(server) == "")
    assert set(versions) == {server.version}


def test_a_version_that_could_not_be_loaded_serves_once_its_files_are_whole_again(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    damaged = another_version(own)
    weights = damaged.folder / "model.safetensors"
    intact = weights.read_bytes()
    weights.chmod(0o644)
    weights.write_bytes(intact[:-1])
    flags = ("--poll-s", "0.05", "--retry-s", "0.3")
    with serving(own, *flags) as server, calling(server) as versions:
        put_in_service(own, damaged)
        within(20, lambda: problem(server) != "")
        time.sleep(1)
        complaint = f"cannot load {damaged.name}; {server.version} goes on serving"
        assert server.log_text().count(complaint) == 1
        weights.write_bytes(intact)
        within(20, lambda: damaged.name in versions)
        assert problem(server) == ""


def test_a_rollback_answers_at_once_from_the_version_that_was_kept_warm(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    new = another_version(own)
    with serving(own, "--poll-s", "0.05") as server, calling(server) as versions:
        put_in_service(own, new)
        within(20, lambda: new.name in versions)
        # What is warm was verified and loaded before; what lies on the disk now is not read.
        loads = server.log_text().count("loading ")
        for wanted in (server.version, new.name, server.version):
            rolled_back(own, wanted)
            within(5, lambda wanted=wanted: versions[-1] == wanted)  # type: ignore[misc]
        assert server.log_text().count("loading ") == loads == 1
    assert set(versions) == {server.version, new.name}


def test_a_version_that_is_rolled_back_while_it_loads_never_answers(
    registry: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = copied(registry, tmp_path)
    first, new = champion(own, "toy"), another_version(own)
    caplog.set_level("INFO")

    async def logged(words: str) -> None:
        async with asyncio.timeout(60):
            while words not in caplog.text:
                await asyncio.sleep(0.001)

    async def serve() -> str:
        serving, stop = (
            Champion(own, "toy", "", ServeConfig(threads=1, poll_s=0.01)),
            asyncio.Event(),
        )
        await serving.load()
        following = asyncio.create_task(serving.follow(stop))
        put_in_service(own, new)
        await logged(f"loading {new.name}")
        rolled_back(own)
        await logged(f"{new.name} was superseded")
        stop.set()
        await following
        answering = serving.engine.version.name
        await serving.close(1.0)
        return answering

    assert asyncio.run(serve()) == first.name
    assert f"{new.name} serves" not in caplog.text


def test_without_warm_a_rollback_loads_the_version_again(registry: Path, tmp_path: Path) -> None:
    own = copied(registry, tmp_path)
    new = another_version(own)
    flags = ("--poll-s", "0.05", "--no-warm")
    with serving(own, *flags) as server, calling(server) as versions:
        put_in_service(own, new)
        within(20, lambda: new.name in versions)
        rolled_back(own)
        within(20, lambda: versions[-1] == server.version)
        assert server.log_text().count("loading ") == 2


def test_a_damaged_log_of_promotions_is_logged_once_and_read_again_when_it_is_mended(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    new = another_version(own)
    with serving(own, "--poll-s", "0.05") as server, calling(server) as versions:
        record = own / "toy" / "promotions" / "000002.json"
        record.write_bytes(b"{")
        within(5, lambda: problem(server) != "")
        assert problem(server) == "the promotions cannot be read; the server's log says why"
        time.sleep(0.5)  # ten polls
        assert server.log_text().count("000002.json: is not promotion 2") == 1
        record.unlink()
        put_in_service(own, new)
        within(20, lambda: new.name in versions)
        assert problem(server) == ""


def test_a_version_that_was_asked_for_by_name_stays_whatever_is_promoted(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    first = champion(own, "toy").name
    with (
        serving(own, "--version", first, "--poll-s", "0.05") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        put_in_service(own, another_version(own))
        time.sleep(1)
        encode = pb.EncodeRequest(sentences=["the cat sees the dog"])
        assert TextVaeServiceStub(channel).Encode(encode).metadata.version == first
