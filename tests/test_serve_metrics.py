"""The figures of a server: those that Prometheus scrapes, and its load."""

import contextlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving import (
    LONG,
    Server,
    another_version,
    copied,
    put_in_service,
    serving,
    start,
    within,
)
from textvae.v1 import model_pb2, model_pb2_grpc
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

SECRET = "zyzzyva quixotry"
SERVICE = "textvae.v1.TextVaeService/"


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Figures:
    """The figures of a scrape, by name and labels."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            self.text = answer.read().decode()
        families = list(text_string_to_metric_families(self.text))
        self.samples = [sample for family in families for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def calls(self, method: str, status: str) -> float:
        """The calls of a method that ended with a status."""
        labels = {"grpc_method": SERVICE + method, "grpc_status": status}
        return self("grpc_server_call_duration_seconds_count", **labels)


def fails(call: Any, *arguments: Any, **options: Any) -> grpc.StatusCode:
    """The status of a call that fails."""
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **options)
    return error.value.code()


@contextlib.contextmanager
def observed(registry: Path, *flags: str) -> Iterator[tuple[Server, int, TextVaeServiceStub]]:
    """A server with figures, their port, and its stub."""
    port = free_port()
    with serving(registry, "--metrics-port", str(port), *flags) as server:
        with grpc.insecure_channel(server.address, (("grpc.enable_retries", 0),)) as channel:
            yield server, port, TextVaeServiceStub(channel)


def test_calls_are_counted_by_method_and_status_and_refusals_by_their_reason(
    registry: Path,
) -> None:
    with observed(registry, "--waiting-rows-max", "300") as (server, port, stub):
        for _ in range(3):
            stub.Encode(pb.EncodeRequest(sentences=[SECRET, SECRET]))
        assert fails(stub.Encode, pb.EncodeRequest()) == grpc.StatusCode.INVALID_ARGUMENT
        assert fails(stub.Sample, LONG, timeout=0.2) == grpc.StatusCode.DEADLINE_EXCEEDED
        calls = [stub.Sample.future(LONG, metadata=(("textvae-caller", "one"),)) for _ in "123"]
        codes = [error.code() for call in calls if (error := call.exception())]
        assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
        call = stub.Sample.future(LONG)
        within(5, lambda: Figures(port)("textvae_rows") > 0)
        call.cancel()
        within(5, lambda: Figures(port).calls("Sample", "CANCELLED") == 1)
        unknown = grpc.insecure_channel(server.address).unary_unary("/made.Up/Method")
        assert fails(unknown, b"") == grpc.StatusCode.UNIMPLEMENTED
        within(5, lambda: Figures(port)("textvae_calls_in_hand") == 0)
        figures = Figures(port)
    ended = [figures.calls("Encode", "OK"), figures.calls("Encode", "INVALID_ARGUMENT")]
    assert ended == [3, 1]
    statuses = ("OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED")
    assert [figures.calls("Sample", status) for status in statuses] == [1, 1, 2, 1]
    assert figures("grpc_server_call_started_total", grpc_method=SERVICE + "Sample") == 5
    assert figures("grpc_server_call_started_total", grpc_method="other") == 1
    refused = "textvae_refused_calls_total"
    assert figures(refused, reason="BUSY", quota="rows") == 2
    assert figures(refused, reason="FIELD_INVALID") == 1
    assert figures("textvae_received_bytes_total", grpc_method=SERVICE + "Encode") == 3 * 36
    assert figures("textvae_bytes_in_hand") == 0
    for word in (SECRET.split()[0], "caller=", 'one"', "127.0.0.1"):
        assert word not in figures.text


def test_a_quota_of_time_is_a_reason_of_its_own(registry: Path) -> None:
    with observed(registry) as (_, port, stub):
        calls = [stub.Sample.future(LONG, metadata=(("textvae-caller", f"{n}"),)) for n in range(8)]
        within(5, lambda: Figures(port)("textvae_callers") > 4)
        asked = pb.SampleRequest(count=64, options=LONG.options)
        code = fails(stub.Sample, asked, timeout=0.5)
        figures = Figures(port)
        for call in calls:
            call.cancel()
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert figures("textvae_refused_calls_total", reason="BUSY", quota="time") == 1
    assert figures("textvae_waiting_seconds") > 0
    assert 0 < figures("textvae_oldest_request_seconds") < 60
    assert figures("textvae_rows", state="running") == figures("textvae_slots") == 64
    assert figures("textvae_rows", state="waiting") > 500
    assert figures("textvae_calls_in_hand") == 8


def test_tokens_and_batches_are_the_engine_s_own(registry: Path) -> None:
    with observed(registry) as (server, port, stub):
        metadata = stub.Encode(pb.EncodeRequest(sentences=[SECRET] * 5)).metadata
        before = Figures(port)
        replied = stub.Sample(pb.SampleRequest(count=3, seed=1)).sentences
        figures = Figures(port)
    read, written = ({"version": server.version, "work": work} for work in ("read", "write"))
    assert before("textvae_tokens_total", **read) == metadata.tokens + 5  # and five ends
    assert before("textvae_batch_rows_sum", **read) == 5
    assert before("textvae_batch_rows_count", **read) == 1
    assert before("textvae_batch_rows_bucket", le="4.0", **read) == 0
    assert before("textvae_batch_rows_bucket", le="8.0", **read) == 1
    # A sentence that ended has its end too.
    expected = sum(sentence.tokens + (sentence.finish_reason == 1) for sentence in replied)
    assert figures("textvae_tokens_total", **written) == expected
    assert figures("textvae_batch_rows_bucket", le="4.0", **written) >= 1
    assert figures("textvae_serving_info", model="toy", version=server.version) == 1
    assert figures("process_resident_memory_bytes") > 1e7


def test_a_promotion_that_was_followed_is_counted(registry: Path, tmp_path: Path) -> None:
    own = copied(registry, tmp_path)
    with observed(own) as (server, port, _):
        assert Figures(port)("textvae_promotions_followed_total") == 0
        version = another_version(own)
        put_in_service(own, version)
        within(20, lambda: Figures(port)("textvae_promotions_followed_total") == 1)
        assert Figures(port)("textvae_serving_info", version=version.name) == 1
        assert Figures(port)("textvae_serving_info", version=server.version) == 0


def test_a_scrape_is_of_one_page_and_a_silent_client_does_not_keep_others_out(
    registry: Path,
) -> None:
    with observed(registry) as (_, port, _):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
        with socket.create_connection(("127.0.0.1", port)):
            assert Figures(port)("textvae_slots") == 64


def test_a_port_of_figures_that_is_taken_is_named(registry: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(registry, "--metrics-port", str(port), log=subprocess.PIPE)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.splitlines()[-1] == (
        f"textvae serve: metrics_port: cannot listen at 127.0.0.1:{port} (Address already in use); "
        "take another port, or 0 for none"
    )


def test_the_load_says_how_long_a_new_caller_waits_and_who_calls(registry: Path) -> None:
    with serving(registry) as server, grpc.insecure_channel(server.address) as channel:
        models, asked = model_pb2_grpc.ModelServiceStub(channel), model_pb2.GetServerInfoRequest()
        idle = models.GetServerInfo(asked).load
        assert (idle.waiting_s, idle.callers, idle.calls) == (0, 0, 1)
        stub = TextVaeServiceStub(channel)
        calls = [stub.Sample.future(LONG, metadata=(("textvae-caller", f"{n}"),)) for n in range(3)]
        time.sleep(0.1)
        within(5, lambda: models.GetServerInfo(asked).load.callers == 3)
        busy = models.GetServerInfo(asked).load
        assert busy.calls == 4
        assert 0 < busy.waiting_s < 10
        for call in calls:
            call.cancel()
