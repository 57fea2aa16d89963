"""A server's life: start, watches, overload, and the drain."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from tests.serving import LONG, STOP_S, Server, copied, serving, start, within
from textvae.store.promotions import champion
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def fails(registry: Path, *flags: str) -> tuple[int, str]:
    """Exit code and stderr of a server that cannot start."""
    process = start(registry, *flags, log=subprocess.PIPE)
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == ""
    return process.returncode, stderr


def test_a_drain_ends_the_calls_tells_the_watches_and_exits_with_0(registry: Path) -> None:
    with serving(registry) as server, grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        calls = [TextVaeServiceStub(channel).Sample.future(LONG) for _ in range(4)]
        time.sleep(0.1)  # the calls have been sent
        server.process.terminate()
        assert next(watch).status == NOT_SERVING
        assert [len(call.result().sentences) for call in calls] == [LONG.count] * 4
        with pytest.raises(grpc.RpcError) as ended:
            next(watch)
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(STOP_S) == 0


def test_a_watch_alone_does_not_hold_up_the_drain(registry: Path) -> None:
    with serving(registry) as server, grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10


def test_a_drain_gives_up_after_its_time(registry: Path) -> None:
    with serving(registry, "--drain-s", "0.1") as server:
        with grpc.insecure_channel(server.address) as channel:
            calls = [TextVaeServiceStub(channel).Sample.future(LONG) for _ in range(30)]
            time.sleep(0.2)
            assert server.stop() == 0
            assert any(call.exception() is not None for call in calls)


def test_a_second_signal_ends_the_drain_at_once(registry: Path) -> None:
    with serving(registry) as server, grpc.insecure_channel(server.address) as channel:
        calls = [TextVaeServiceStub(channel).Sample.future(LONG) for _ in range(30)]
        time.sleep(0.2)
        server.process.terminate()
        within(5, lambda: "draining" in server.log_text())
        server.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert server.process.wait(STOP_S) == 0
        assert time.monotonic() - began < 5
        assert any(call.exception() is not None for call in calls)


def test_a_full_engine_refuses_with_a_time_to_come_back_and_stays_healthy(registry: Path) -> None:
    full = ("--waiting-rows-max", "300")
    with serving(registry, *full) as server, grpc.insecure_channel(server.address) as channel:
        calls = [TextVaeServiceStub(channel).Sample.future(LONG) for _ in range(5)]
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == SERVING
        errors = [error for call in calls if (error := call.exception())]
        assert 0 < len(errors) < len(calls)
        for error in errors:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert re.fullmatch(
                r"engine: \d+ rows of at most 300 are waiting and 256 more were asked; "
                r"call later or ask for fewer",
                error.details(),
            )
            status = rpc_status.from_call(error)
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            status.details[0].Unpack(info)
            status.details[1].Unpack(retry)
            assert (info.domain, info.reason) == ("textvae", "BUSY")
            wait_ms = retry.retry_delay.ToMilliseconds()
            assert 50 <= wait_ms <= 60_000
            assert ("grpc-retry-pushback-ms", str(wait_ms)) in error.trailing_metadata()


def test_a_registry_without_a_champion_ends_with_66_and_the_command_that_makes_one(
    tmp_path: Path,
) -> None:
    code, output = fails(tmp_path)
    assert code == 66
    assert output == (
        f"textvae serve: {tmp_path}/toy: no champion; python -m jobs.nightly makes one\n"
    )


def test_a_damaged_file_of_the_champion_ends_with_66_and_its_name(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    weights = champion(own, "toy").folder / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1])
    code, output = fails(own)
    assert code == 66
    assert str(weights) in output
    assert "Traceback" not in output


def test_an_address_that_others_can_reach_needs_the_word_insecure(registry: Path) -> None:
    code, output = fails(registry, "--host", "0.0.0.0")
    assert (code, output) == (
        2,
        "textvae serve: host: 0.0.0.0 can be reached by others "
        "and the connection is not encrypted; "
        "bind 127.0.0.1, or add --insecure in a trusted network\n",
    )


def test_a_port_that_is_taken_is_named(toy_server: Server) -> None:
    port = toy_server.address.rpartition(":")[2]
    code, output = fails(toy_server.registry, "--port", port)
    assert code == 2
    assert output.splitlines()[-1] == (
        f"textvae serve: port: cannot listen at 127.0.0.1:{port}; is another server there? "
        "--port 0 takes a free one"
    )


def test_the_settings_file_of_the_jobs_is_the_server_s_too(registry: Path, tmp_path: Path) -> None:
    settings = tmp_path / "nightly.toml"
    settings.write_text("[serve]\nsteps_max = 9\n[training]\nsteps = 1\n", encoding="utf-8")
    flags = ("--config", str(settings))
    with serving(registry, *flags) as server, grpc.insecure_channel(server.address) as channel:
        points = [pb.Endpoint(sentence="a"), pb.Endpoint(sentence="b")]
        with pytest.raises(grpc.RpcError) as refused:
            TextVaeServiceStub(channel).Interpolate(pb.InterpolateRequest(points=points, steps=10))
    assert refused.value.details() == "steps: must be 2 to 9, got 10"
    settings.write_text("[serve]\nsteps_most = 9\n", encoding="utf-8")
    code, output = fails(registry, *flags)
    assert code == 2
    assert output.startswith("textvae serve: serve.steps_most: no such setting; there are ")


def test_help_says_every_setting_with_its_sentence() -> None:
    command = [sys.executable, "-m", "textvae.serve", "--help"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for word in ("--registry", "--drain-s", "--no-insecure", "after SIGTERM"):
        assert word in output
