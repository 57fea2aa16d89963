"""Bad requests: each ends with its exact status and a message with field, limit and fix."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.bad_requests import BAD, INVALID, MISMATCH, Bad, Good, encode, path
from tests.serving import Server, another_version, copied, serving
from textvae.store.promotions import champion
from textvae.v1 import model_pb2, model_pb2_grpc
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub
from textvae.version_files import tokenizer_of

TEXTS = "/textvae.v1.TextVaeService/"
MODELS = "/textvae.v1.ModelService/"
MALFORMED = (
    "request: the bytes are not such a message, or a string in it is not UTF-8; "
    "send what the stubs of textvae.v1 write"
)
REASONS = {
    INVALID: "FIELD_INVALID",
    MISMATCH: "VERSION_MISMATCH",
    grpc.StatusCode.NOT_FOUND: "NOT_FOUND",
}


@pytest.fixture(scope="module")
def good(toy_server: Server, channel: grpc.Channel) -> Good:
    """What serves."""
    info = model_pb2_grpc.ModelServiceStub(channel).GetServerInfo(model_pb2.GetServerInfoRequest())
    return Good(info.version, info.latent)


@pytest.fixture(autouse=True)
def server_goes_on(channel: grpc.Channel) -> Iterator[None]:
    """After every refusal the server answers as before."""
    yield
    assert len(TextVaeServiceStub(channel).Encode(encode("the cat sees the dog")).mean.values)


def refused(channel: grpc.Channel, method: str, raw: bytes) -> grpc.Call:
    """The error that answers a request."""
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(method)(raw, timeout=20)
    assert isinstance(error.value, grpc.Call)
    return error.value


def details(error: grpc.Call) -> tuple[Any, Any]:
    """ErrorInfo and BadRequest of an error; empty where it has none."""
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(request)
    return info, request


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_it_is_refused_with_its_status_and_a_message_that_names_field_limit_and_fix(
    bad: Bad, good: Good, channel: grpc.Channel
) -> None:
    request = bad.request(good)
    service = MODELS if request.DESCRIPTOR.file is model_pb2.DESCRIPTOR else TEXTS
    method = service + request.DESCRIPTOR.name.removesuffix("Request")
    error = refused(channel, method, request.SerializeToString())
    assert error.details() == bad.message.format(**good._asdict())
    assert error.code() == bad.code
    info, invalid = details(error)
    assert (info.domain, info.reason) == ("textvae", REASONS[bad.code])
    if bad.code == INVALID:
        field, _, problem = str(error.details()).partition(": ")
        violation = invalid.field_violations[0]
        assert (violation.field, violation.description) == (field, problem)


@pytest.mark.parametrize(
    ("request_of", "field"),
    [
        (lambda text: encode("a", text), "sentences[1]"),
        (lambda text: path("a", text), "points[1].sentence"),
    ],
    ids=["in a list", "at the end of a path"],
)
def test_a_sentence_of_too_many_tokens_is_refused_with_their_number(
    request_of: Callable[[str], Message], field: str, toy_server: Server, channel: grpc.Channel
) -> None:
    text = "\u6f22" * 100  # three bytes each, and none of them learned as a piece
    folder = champion(toy_server.registry, "toy").folder
    tokens = len(tokenizer_of(folder).encode([text])[0])
    assert tokens > 128
    request = request_of(text)
    method = TEXTS + request.DESCRIPTOR.name.removesuffix("Request")
    error = refused(channel, method, request.SerializeToString())
    assert error.details() == (
        f"{field}: must be at most 128 tokens, got {tokens}; shorten or split it"
    )
    assert error.code() == INVALID


@pytest.mark.parametrize(
    "raw",
    [b"\x0a\x02\xff\xfe", b"\xff\xff\xff", b"\x0a\x7f"],
    ids=["invalid UTF-8", "no message", "a torn message"],
)
@pytest.mark.parametrize("method", [f"{TEXTS}Encode", "/grpc.health.v1.Health/Check"])
def test_bytes_that_are_no_request_are_refused(
    method: str, raw: bytes, channel: grpc.Channel
) -> None:
    error = refused(channel, method, raw)
    assert (error.code(), error.details()) == (INVALID, MALFORMED)
    assert details(error)[0].reason == "MESSAGE_MALFORMED"


def test_bytes_that_are_no_request_of_a_stream_are_refused(channel: grpc.Channel) -> None:
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
    with pytest.raises(grpc.RpcError) as error:
        next(watch(b"\xff"))
    assert (error.value.code(), error.value.details()) == (INVALID, MALFORMED)


def test_a_message_over_the_limit_is_refused(channel: grpc.Channel) -> None:
    error = refused(channel, f"{TEXTS}Encode", bytes(16 * 1024 * 1024 + 1))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_method_that_is_not_there_is_unimplemented(channel: grpc.Channel) -> None:
    assert refused(channel, f"{TEXTS}Dream", b"").code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_version_without_a_fitted_prior_refuses_it_and_draws_from_the_standard_one(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    without_prior = another_version(own)
    with (
        serving(own, "--version", without_prior.name) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        request = pb.SampleRequest(count=1, prior=pb.PRIOR_FITTED)
        error = refused(channel, f"{TEXTS}Sample", request.SerializeToString())
        assert (error.code(), error.details()) == (
            INVALID,
            "prior: this version has no fitted prior; ask for the standard one",
        )
        sampled = TextVaeServiceStub(channel).Sample(pb.SampleRequest(count=1))
        assert sampled.prior == pb.PRIOR_STANDARD


def test_a_failure_of_ours_leaves_the_server_as_an_id_and_stays_in_the_log_whole(
    registry: Path, tmp_path: Path
) -> None:
    own = copied(registry, tmp_path)
    spoiled = another_version(own)
    weights = spoiled.folder / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1])
    with serving(own) as server, grpc.insecure_channel(server.address) as channel:
        request = model_pb2.GetModelRequest(name=f"models/toy/versions/{spoiled.name}")
        error = refused(channel, f"{MODELS}GetModel", request.SerializeToString())
        info, _ = details(error)
        bug = info.metadata["id"]
        assert error.code() == grpc.StatusCode.INTERNAL
        assert error.details() == f"the server failed; its log says why under id {bug}"
        assert info.reason == "INTERNAL"
        assert f"id {bug}" in server.log_text()
        assert f"{weights}" in server.log_text()
        sent = "".join(str(pair) for pair in error.trailing_metadata())
        assert "safetensors" not in sent
        assert "Traceback" not in sent
