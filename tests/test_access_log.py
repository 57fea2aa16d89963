"""What a server writes of its calls: a line for each, never its text, and a warning of refusals."""

import asyncio
import json
import logging
import re
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.serving import LONG, serving, start, within
from textvae.serve import access_log, telemetry
from textvae.serve.access_log import AccessLog
from textvae.serve.record import CallRecord
from textvae.serve.telemetry import Telemetry
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

SECRET = "zyzzyva quixotry"
SERVICE = "textvae.v1.TextVaeService/"
FIELDS = (
    "time", "method", "status", "reason", "quota", "rows", "tokens", "queue_ms", "compute_ms",
    "total_ms", "bytes_in", "bytes_out", "version", "caller", "priority",
)  # fmt: skip


def fails(call: Any, *arguments: Any, **options: Any) -> grpc.StatusCode:
    """The status of a call that fails."""
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **options)
    return error.value.code()


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of an access log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_call_has_a_line_and_no_line_has_its_text(registry: Path, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.jsonl"
    with serving(registry, "--access-log", str(path)) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = TextVaeServiceStub(channel)
            named = (("textvae-caller", "reports"), ("textvae-priority", "bulk"))
            answer = stub.Encode(pb.EncodeRequest(sentences=[SECRET] * 3), metadata=named)
            asked = pb.EncodeRequest(sentences=[SECRET], version=SECRET)
            assert fails(stub.Encode, asked) == grpc.StatusCode.FAILED_PRECONDITION
            odd = (("textvae-caller", SECRET),)
            code = fails(stub.Encode, pb.EncodeRequest(sentences=[SECRET]), metadata=odd)
            assert code == grpc.StatusCode.INVALID_ARGUMENT
            method = f"/{SECRET.replace(' ', '.')}/Method"
            assert fails(channel.unary_unary(method), b"") == grpc.StatusCode.UNIMPLEMENTED
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert server.stop() == 0
        log = server.log_text()
    first, mismatch, caller, unknown, health = lines_of(path)
    assert tuple(first) == FIELDS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first["time"])
    assert (first["method"], first["status"]) == (SERVICE + "Encode", "OK")
    assert (first["rows"], first["tokens"]) == (3, answer.metadata.tokens)
    assert first["queue_ms"] == answer.metadata.queue_us / 1000
    assert first["compute_ms"] == answer.metadata.compute_us / 1000
    assert first["total_ms"] > first["queue_ms"] + first["compute_ms"]
    assert (first["bytes_in"], first["bytes_out"]) == (3 * 18, answer.ByteSize())
    assert (first["version"], first["caller"]) == (server.version, "reports")
    assert (first["priority"], first["reason"], first["quota"]) == ("bulk", "", "")
    assert (mismatch["status"], mismatch["reason"]) == ("FAILED_PRECONDITION", "VERSION_MISMATCH")
    assert mismatch["caller"].startswith("ipv4:127.0.0.1:")
    assert (caller["status"], caller["caller"]) == ("INVALID_ARGUMENT", "")
    assert (unknown["method"], unknown["status"]) == ("other", "UNIMPLEMENTED")
    assert (health["method"], health["status"]) == ("grpc.health.v1.Health/Check", "OK")
    for word in SECRET.split():
        assert word not in path.read_text(encoding="utf-8")
        assert word not in log


def test_refusals_are_one_warning_without_an_access_log_and_lines_with_one_on_stderr(
    registry: Path,
) -> None:
    with serving(registry, "--waiting-rows-max", "300", "--access-log", "-") as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = TextVaeServiceStub(channel)
            refused = [stub.Encode.future(pb.EncodeRequest(sentences=[""])) for _ in range(30)]
            full = [stub.Sample.future(LONG) for _ in range(5)]
            refused += [call for call in full if call.exception()]
            assert all(call.exception() for call in refused)
            rows = len(refused) - 30
            words = f"30 FIELD_INVALID, {rows} for rows"
            within(10, lambda: words in server.log_text())
        assert server.stop() == 0
        log = server.log_text().splitlines()
    warnings = [line for line in log if "calls were refused" in line]
    assert len(warnings) == 1
    assert re.search(rf"WARNING textvae.*: {30 + rows} calls were refused in \d+ s: ", warnings[0])
    lines = [json.loads(line) for line in log if line.startswith("{")]
    assert sum(line["reason"] == "FIELD_INVALID" for line in lines) == 30
    assert sum(line["quota"] == "rows" for line in lines) == rows
    assert all(line["reason"] == "BUSY" for line in lines if line["quota"])


def test_an_access_log_that_cannot_be_written_is_refused_at_the_start(
    registry: Path, tmp_path: Path
) -> None:
    process = start(registry, "--access-log", str(tmp_path), log=subprocess.PIPE)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.splitlines()[-1] == (
        f"textvae serve: serve.access_log: {tmp_path} cannot be appended to (Is a directory); "
        "name a file that this user may write, or - for stderr"
    )


def failed(status: str = "RESOURCE_EXHAUSTED", *reasons: str) -> CallRecord:
    """The record of a call that fails."""
    record = CallRecord(SERVICE + "Encode")
    record.fail(status, *reasons)
    return record


def test_an_overload_leaves_lines_and_the_count_of_those_that_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "FIRST_S", 0.1)
    calls = 13_000
    path = tmp_path / "access.jsonl"

    async def overload() -> Telemetry:
        told = Telemetry(AccessLog(str(path)))
        for number in range(calls):
            quota = "time" if number % 2 else "rows"
            told.end(failed("RESOURCE_EXHAUSTED", "BUSY", quota))
        told.end(failed("DEADLINE_EXCEEDED"))
        told.end(failed("CANCELLED"))  # which is no failure of the server
        await asyncio.sleep(0.3)
        told.close()
        return told

    with caplog.at_level(logging.WARNING):
        told = asyncio.run(overload())
    words = "13001 calls were refused in 0 s: 6500 for rows, 6500 for time, 1 DEADLINE_EXCEEDED"
    assert [record.getMessage() for record in caplog.records] == [words]
    assert told.refused == {("BUSY", "rows"): 6500, ("BUSY", "time"): 6500}
    lines = lines_of(path)
    left_out = sum(line.get("left_out", 0) for line in lines)
    assert len(lines) + left_out == calls + 2
    assert access_log.LINES_A_S <= len(lines) <= 3 * access_log.LINES_A_S


def test_a_second_warning_waits_for_its_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "FIRST_S", 0.02)
    monkeypatch.setattr(telemetry, "LINE_S", 0.4)

    async def fail_on() -> list[int]:
        told, counts = Telemetry(), list[int]()
        for _ in range(2):
            told.end(failed())
            await asyncio.sleep(0.15)
            counts.append(len(caplog.records))
        await asyncio.sleep(0.4)
        told.close()
        return counts

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(fail_on()) == [1, 1]
    assert len(caplog.records) == 2


def test_lines_that_cannot_be_written_are_counted_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "logs" / "access.jsonl"
    monkeypatch.setattr(access_log, "GATHER_S", 0.01)
    log = AccessLog(str(path))
    path.unlink()
    path.mkdir()
    for count in (1, 2):
        log.add(failed())
        within(5, lambda count=count: log.left_out == count)  # type: ignore[misc]
    path.rmdir()
    log.add(failed())
    log.close()
    assert [line["left_out"] for line in lines_of(path)] == [2]
    assert [record.getMessage() for record in caplog.records] == [
        "the access log cannot be written: [Errno 21] Is a directory: "
        f"{str(path)!r}; goes on trying"
    ]
