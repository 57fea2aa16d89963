"""What a call says beside its message: its caller, its urgency and its time."""

import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.serving import LONG, another_version, copied, put_in_service, serving, within
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

SHORT = pb.SampleRequest(count=1, seed=1)
LONG_CALLS = 16


def refused(call: Any, *arguments: Any, **options: Any) -> grpc.RpcError:
    """The error of a call."""
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **options)
    return error.value


def details(error: grpc.RpcError) -> dict[str, Any]:
    """The details of a status by the name of their message."""
    found = {}
    for detail in rpc_status.from_call(error).details:  # type: ignore[arg-type]
        name = detail.TypeName().rpartition(".")[2]
        found[name] = message = getattr(error_details_pb2, name)()
        detail.Unpack(message)
    return found


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 65, "a/b", "\N{LATIN SMALL LETTER A}:1"])
def test_a_name_that_is_none_is_refused_by_the_key_of_the_metadata(
    channel: grpc.Channel, name: str
) -> None:
    stub = TextVaeServiceStub(channel)
    error = refused(stub.Sample, SHORT, metadata=(("textvae-caller", name),))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == (
        "metadata textvae-caller: must be 1 to 64 Latin letters, digits, dots, hyphens and "
        "underscores; leave it out for the connection"
    )


def test_a_priority_that_is_none_is_refused(channel: grpc.Channel) -> None:
    stub = TextVaeServiceStub(channel)
    error = refused(stub.Sample, SHORT, metadata=(("textvae-priority", "high"),))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == (
        "metadata textvae-priority: must be interactive or bulk, or left out"
    )


def test_a_call_has_the_same_bytes_whoever_makes_it(channel: grpc.Channel) -> None:
    stub = TextVaeServiceStub(channel)
    request = pb.SampleRequest(count=5, seed=3, options=pb.Options(temperature=1.0))
    plain = stub.Sample(request)
    named = (("textvae-caller", "job-1"), ("textvae-priority", "bulk"))
    bulk = stub.Sample(request, metadata=named)
    assert bulk.sentences == plain.sentences


def test_a_call_that_would_wait_too_long_is_refused_at_once_and_told_when_to_come(
    registry: Path,
) -> None:
    with (
        serving(registry, "--deadline-default-s", "120") as server,
        grpc.insecure_channel(server.address, (("grpc.enable_retries", 0),)) as channel,
    ):
        stub = TextVaeServiceStub(channel)
        stub.Sample(LONG)  # teaches what such a call takes
        threads = [threading.Thread(target=stub.Sample, args=(LONG,)) for _ in range(LONG_CALLS)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        began = time.monotonic()
        error = refused(stub.Sample, LONG, timeout=1.0)
        took_s = time.monotonic() - began
        for thread in threads:
            thread.join()
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert took_s < 1.0
    found = details(error)
    assert found["ErrorInfo"].reason == "BUSY"
    assert found["QuotaFailure"].violations[0].subject == "time"
    wait_ms = found["RetryInfo"].retry_delay.ToMilliseconds()
    trailers = dict(error.trailing_metadata())  # type: ignore[attr-defined]
    assert wait_ms == int(trailers["grpc-retry-pushback-ms"]) >= 50


def test_a_call_without_a_time_has_that_of_the_settings(registry: Path) -> None:
    """And one with more time than they allow has what they allow."""
    with (
        serving(registry, "--deadline-default-s", "0.3", "--deadline-max-s", "0.4") as server,
        grpc.insecure_channel(server.address, (("grpc.enable_retries", 0),)) as channel,
    ):
        stub = TextVaeServiceStub(channel)
        for timeout_s in (None, 60.0):
            long = pb.SampleRequest(count=1024, options=LONG.options)
            error = refused(stub.Sample, long, timeout=timeout_s)
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert details(error)["ErrorInfo"].reason == "EXPIRED"
        assert len(stub.Sample(SHORT).sentences) == 1


def test_latents_of_the_old_champion_are_answered_by_it_while_it_is_in_memory(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    with (
        serving(own, "--poll-s", "0.1") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = TextVaeServiceStub(channel)
        encode = pb.EncodeRequest(sentences=["the cat sees the dog"])
        mean = stub.Encode(encode).mean
        before = stub.Decode(pb.DecodeRequest(latents=mean, seed=1))
        new = another_version(own)
        put_in_service(own, new)
        within(20, lambda: stub.Encode(encode).metadata.version == new.name)
        after = stub.Decode(pb.DecodeRequest(latents=mean, seed=1))
        point = pb.Endpoint(latents=mean)
        walked = stub.Interpolate(pb.InterpolateRequest(points=[point, point], steps=2))
        scored = stub.Score(pb.ScoreRequest(version=server.version, sentences=["the cat sees"]))
    assert after.metadata.version == server.version
    assert after.sentences == before.sentences
    assert walked.metadata.version == scored.metadata.version == server.version


def test_latents_of_the_old_champion_are_refused_once_it_has_left(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    with (
        serving(own, "--poll-s", "0.1", "--no-warm") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = TextVaeServiceStub(channel)
        encode = pb.EncodeRequest(sentences=["the cat sees the dog"])
        mean = stub.Encode(encode).mean
        new = another_version(own)
        put_in_service(own, new)
        within(20, lambda: stub.Encode(encode).metadata.version == new.name)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Decode(pb.DecodeRequest(latents=mean))
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == (
        f"latents.version: the latents belong to {server.version} but {new.name} serves; "
        "encode the sentences again"
    )
