"""A server whose engine is dead: its health, its calls, its log and its end."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from tests.serving import MODEL, STOP_S
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ENDS = "def fatal(*_): raise RuntimeError('an engine that breaks')\n"
STANDS_STILL = "def fatal(*_): time.sleep(600)\n"


class Mortal(NamedTuple):
    """A server whose engine dies of its first sample."""

    address: str
    process: subprocess.Popen[str]
    log: Path


@contextlib.contextmanager
def mortal(registry: Path, folder: Path, fatal: str) -> Iterator[Mortal]:
    """A server whose engine takes and reads sentences, and does `fatal` where it has rows."""
    code = (
        f"import sys, time\n{fatal}"
        "from textvae.engine import engine\n"
        "from textvae.serve import watch\n"
        "engine.STANDSTILL_S = watch.STANDSTILL_S = 1.0\n"
        "work = engine.Engine._work\n"
        "def work_or_die(self, lane):\n"
        "    job = next(iter(self._jobs))\n"
        "    (fatal if job.work.kind == 'sample' else work)(self, lane)\n"
        "engine.Engine._work = work_or_die\n"
        "from textvae.serve.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--registry", str(registry), "--model", MODEL, "--port", "0", "--threads", "1"]
    log = folder / "log"
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *flags, "--drain-s", "100"],
            stdout=subprocess.PIPE, stderr=stream, text=True, env={**os.environ},
        )  # fmt: skip
    assert process.stdout
    try:
        ready = re.search(r"at (\S+)$", process.stdout.readline())
        assert ready, log.read_text(encoding="utf-8")
        yield Mortal(ready[1], process, log)
    finally:
        process.kill()
        process.wait(STOP_S)
        process.stdout.close()


@pytest.mark.parametrize("fatal", [ENDS, STANDS_STILL], ids=["ended", "stands still"])
def test_a_dead_engine_ends_the_server_at_once(registry: Path, tmp_path: Path, fatal: str) -> None:
    with mortal(registry, tmp_path, fatal) as server:
        with grpc.insecure_channel(server.address, (("grpc.enable_retries", 0),)) as channel:
            stub = TextVaeServiceStub(channel)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            assert stub.Encode(pb.EncodeRequest(sentences=["a dog"])).mean.columns > 0
            began = time.monotonic()
            calls = [stub.Sample.future(pb.SampleRequest(count=2)) for _ in range(3)]
            assert next(watch).status == NOT_SERVING
            errors = [call.exception() for call in calls]
            code = server.process.wait(STOP_S)
            assert time.monotonic() - began < 10
    assert code == 75
    for error in errors:
        assert isinstance(error, grpc.RpcError)
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert error.details() == "the server has failed and ends; call another"
        info = error_details_pb2.ErrorInfo()
        rpc_status.from_call(error).details[0].Unpack(info)  # type: ignore[arg-type]
        assert info.reason == "NOT_SERVING"
    log = server.log.read_text(encoding="utf-8")
    problem = r"the engine of \S+ is dead: its thread has ended, or made no step for 1 s; "
    assert re.search(f"CRITICAL textvae.serve.watch: {problem}", log)
    assert re.search(f"\ntextvae serve: {problem}", log)
    where = "an engine that breaks" if fatal == ENDS else "in fatal"
    assert where in log
    # The watch of its health too.
    assert re.search(r"WARNING textvae.serve.telemetry: 4 calls .*: 4 NOT_SERVING\n", log)


def test_an_engine_that_dies_in_a_drain_ends_it(registry: Path, tmp_path: Path) -> None:
    with mortal(registry, tmp_path, STANDS_STILL) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = TextVaeServiceStub(channel)
            stub.Encode(pb.EncodeRequest(sentences=["a dog"]))
            call = stub.Sample.future(pb.SampleRequest(count=2))
            time.sleep(0.3)  # the call has been sent
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(STOP_S) == 75
            assert call.exception() is not None
