"""Bursts, reflection of both names, versions verified once, and drains that leave no call alone."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from tests.drills.drains import ONE_TRY, Callers, reason
from tests.http2 import Link
from tests.serving import LONG, STOP_S, Server, copied, serving, within
from textvae.config.serve import ServeConfig
from textvae.errors import BusyError, InputError
from textvae.serve.in_hand import Call
from textvae.serve.quota import STALL_S, Quota
from textvae.serve.status import TooSlowError
from textvae.store import versions
from textvae.store.promotions import champion
from textvae.v1 import model_pb2, model_pb2_grpc
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

INFO = model_pb2.GetServerInfoRequest()


def test_three_thousand_calls_at_once_are_all_answered(toy_server: Server) -> None:
    channels = [grpc.insecure_channel(toy_server.address, ONE_TRY) for _ in range(3)]
    stubs = [model_pb2_grpc.ModelServiceStub(channel) for channel in channels]
    calls = [stubs[number % 3].GetServerInfo.future(INFO, timeout=60) for number in range(3000)]
    ends = Counter(str(call.exception()) for call in calls)
    for channel in channels:
        channel.close()
    assert ends == {"None": 3000}


@pytest.mark.parametrize("name", ["grpc.reflection.v1alpha", "grpc.reflection.v1"])
def test_reflection_answers_under_both_of_its_names(name: str, channel: grpc.Channel) -> None:
    call = channel.stream_stream(
        f"/{name}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    wanted = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{name}.ServerReflection"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="textvae.v1.Latents"),
    ]
    listed, itself, ours = call(iter(wanted), timeout=20)
    services = {one.name for one in listed.list_services_response.service}
    assert {
        "textvae.v1.TextVaeService",
        "textvae.v1.ModelService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    } == services
    assert itself.file_descriptor_response.file_descriptor_proto
    assert ours.file_descriptor_response.file_descriptor_proto


def test_a_version_is_hashed_once_and_again_after_any_change(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from textvae.serve.verified import VerifiedVersions

    own, hashed, verify = copied(registry, tmp_path), [0], versions.open_version

    def count(*args: str) -> versions.Version:
        hashed[0] += 1
        return verify(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(versions, "open_version", count)
    verified, name = VerifiedVersions(own), champion(own, "toy").name

    async def many() -> None:
        await asyncio.gather(*(verified.open("toy", name) for _ in range(32)))

    asyncio.run(many())
    assert hashed == [1]
    weights = own / "toy" / "versions" / name / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(Exception, match="has SHA-256"):
        asyncio.run(verified.open("toy", name))
    assert hashed == [2]


def test_a_drain_under_load_cancels_no_call_and_says_why_it_refuses(registry: Path) -> None:
    with serving(registry) as server:
        callers = Callers(server.address, 16)
        within(20, lambda: callers.ends["OK", ""] > 50)
        assert server.stop() == 0
        callers.join()
    assert callers.failed == 0, callers.ends
    assert callers.ends["UNAVAILABLE", "NOT_SERVING"] >= 16


def test_a_call_that_its_time_to_drain_cuts_says_so(registry: Path) -> None:
    with serving(registry, "--drain-s", "0.1") as server:
        with grpc.insecure_channel(server.address, ONE_TRY) as channel:
            calls = [TextVaeServiceStub(channel).Sample.future(LONG) for _ in range(30)]
            time.sleep(0.3)
            assert server.stop() == 0
            errors = [error for call in calls if (error := call.exception())]
    assert errors
    for error in errors:
        assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "NOT_SERVING")


def test_calls_without_a_message_do_not_hold_up_the_drain(registry: Path) -> None:
    with serving(registry, "--drain-s", "1") as server:
        links = [Link(server.address) for _ in range(4)]
        streams = [[link.begin() for _ in range(200)] for link in links]
        began_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began_s < 8
        for link, begun in zip(links, streams, strict=True):
            assert link.status(begun[-1], 0.1)[0] in (4, 8, 14)
            link.close()


def test_threads_and_bytes_out_of_their_range_are_refused_by_name() -> None:
    for settings, words in (
        ({"threads": 1_000_000}, "serve.threads: must be 0 to 1024, got 1000000"),
        ({"bytes_max": 1}, r"serve.bytes_max: must be 67108864 or more, got 1"),
        ({"read_s": 0.0}, "serve.read_s: must be 1 to 86400.0, got 0.0"),
    ):
        with pytest.raises(InputError, match=f"^{words}"):
            ServeConfig(**settings)  # type: ignore[arg-type]


def test_a_stalled_call_makes_room_for_a_message_and_no_other_does() -> None:
    async def scene() -> None:
        quota, calls = Quota(200, 50), list[Call]()

        async def hold() -> None:
            calls.append(Call("/a/b", lambda: "peer"))
            await asyncio.sleep(60)

        tasks = [asyncio.create_task(hold()) for _ in range(4)]
        await asyncio.sleep(0)
        quota.add_response(calls[0], 60)
        with pytest.raises(BusyError, match="60 of 100 bytes of messages are in hand") as busy:
            quota.add_message(calls[1], 60)
        assert (busy.value.quota, busy.value.retry_s) == ("bytes", STALL_S)
        await asyncio.sleep(STALL_S)
        quota.add_message(calls[1], 60)
        assert isinstance(calls[0].problem, TooSlowError)
        assert (quota.bytes, calls[0].bytes) == (60, 0)
        for call in calls[1:]:
            quota.add_slow(call)  # there is room for two
        assert [type(call.problem) for call in calls[1:]] == [type(None), type(None), BusyError]
        for call in calls:
            quota.release(call)
        assert quota.bytes == 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scene())


def test_a_second_signal_ends_a_drain_that_waits_with_a_status(registry: Path) -> None:
    with serving(registry) as server, grpc.insecure_channel(server.address, ONE_TRY) as channel:
        calls = [TextVaeServiceStub(channel).Sample.future(LONG) for _ in range(30)]
        time.sleep(0.2)
        server.process.terminate()
        within(5, lambda: "draining" in server.log_text())
        time.sleep(0.6)
        server.process.terminate()
        assert server.process.wait(STOP_S) == 0
        errors = [error for call in calls if (error := call.exception())]
        assert {reason(error) for error in errors} == {"NOT_SERVING"}
