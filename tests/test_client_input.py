"""What is wrong with an input of the client: the item, by the caller's own number."""

import asyncio
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.job_runs import ROOT
from tests.serving import Server
from textvae.client import AsyncClient, Client, Latents, calls
from textvae.client.messages import CHUNK_TOKENS, LIMITS, CallProtocol
from textvae.errors import InputError
from textvae.v1 import GRPCIO, PROTOBUF, model_pb2
from textvae.v1 import textvae_pb2 as pb

TOO_LONG = "x" * 1001


@pytest.fixture(scope="module")
def client(toy_server: Server) -> Iterator[Client]:
    with Client(toy_server.address) as client:
        yield client


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda client, many, _: client.encode([*many, TOO_LONG]), "sentences[2500]"),
        (lambda client, many, _: client.encode([*many, TOO_LONG], samples=3), "sentences[2500]"),
        (lambda client, many, _: client.encode([*many, "\x07"]), "sentences[2500]"),
        (
            lambda client, many, _: client.paraphrase([*many, TOO_LONG], 8, method="draw"),
            "sentences[2500]",
        ),
        (
            lambda client, many, _: client.score([*many[:300], TOO_LONG], importance_samples=60),
            "sentences[300]",
        ),
        (lambda client, _, latents: client.decode(latents), "latents[1500]"),
        (
            lambda client, many, _: client.interpolate([*many[:9], TOO_LONG], 12),
            "points[9].sentence",
        ),
    ],
    ids=["encode", "samples", "control", "paraphrase", "score", "decode", "interpolate"],
)
def test_an_error_names_the_callers_own_number_also_beyond_the_first_chunk(
    call: Callable[[Client, list[str], Latents], Any],
    field: str,
    client: Client,
    toy_server: Server,
) -> None:
    mean = client.encode(["a"]).mean
    values = np.repeat(mean.values, 1600, axis=0)
    values[1500, 3] = np.nan
    with pytest.raises(InputError) as error:
        call(client, ["a"] * 2500, Latents(values, mean.version))
    assert error.value.field == field
    assert str(error.value).startswith(f"{field}: ")


def test_the_asynchronous_client_names_the_callers_own_number_too(toy_server: Server) -> None:
    async def ask() -> None:
        async with AsyncClient(toy_server.address) as client:
            await client.encode(["a"] * 1100 + [TOO_LONG])

    with pytest.raises(InputError) as error:
        asyncio.run(ask())
    assert error.value.field == "sentences[1100]"


NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (None, "must be a string, got None; leave it out"),
        (NOT_A_NUMBER, "must be a string, got nan; leave it out"),
        (b"the cat", "must be a string, got bytes; decode it"),
        (7, "must be a string, got 7; leave it out"),
        (["a"], "must be a string, got ['a']; leave it out"),
        ("a\udc80", "character 1 is a lone surrogate; sentences are Unicode text"),
    ],
)
@pytest.mark.parametrize("method", ["encode", "paraphrase", "score", "interpolate"])
def test_an_item_that_is_no_sentence_is_named(
    method: str, item: Any, problem: str, client: Client
) -> None:
    calls: dict[str, Callable[[list[Any]], Any]] = {
        "encode": client.encode,
        "paraphrase": lambda items: client.paraphrase(items, 1),
        "score": client.score,
        "interpolate": lambda items: client.interpolate(items, 5),
    }
    with pytest.raises(InputError) as error:
        calls[method](["a", "b", item])
    field = "points[2]" if method == "interpolate" else "sentences[2]"
    assert (error.value.field, error.value.problem) == (field, problem)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.encode(None), "sentences: must be a list, got NoneType"),
        (lambda client: client.encode(b"a"), "sentences: must be a list, got one string"),
        (lambda client: client.encode(3.5), "sentences: must be a list, got float"),
        (lambda client: client.encode(["a"], seed=1.5), "seed: cannot be sent: "),
        (lambda client: client.encode(["a"], seed=2**64), "seed: cannot be sent: "),
        (lambda client: client.sample("3"), "count: must be a whole number, got '3'"),
        (lambda client: client.sample(2.0), "count: must be a whole number, got 2.0"),
        (lambda client: client.decode([[0.0]]), "latents: must be Latents(values, version), got l"),
        (
            lambda client: client.decode(Latents(np.array([["a"]]), "v")),
            "latents: must be an array (n, latent) of numbers: ",
        ),
        (lambda client: client.interpolate("ab", 3), "points: must be a list, got one string"),
    ],
    ids=range(10),
)
def test_an_argument_of_another_kind_is_named(
    call: Callable[[Any], Any], message: str, client: Client
) -> None:
    with pytest.raises(InputError) as error:
        call(client)
    assert str(error.value).startswith(message)


def test_sentences_may_come_from_any_collection(client: Client) -> None:
    expected = client.encode(["a", "b"]).mean.values
    for sentences in (("a", "b"), np.array(["a", "b"]), {"a": 1, "b": 2}, iter(["a", "b"])):
        assert np.array_equal(client.encode(sentences).mean.values, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e300, 1e12])
def test_a_call_may_take_as_long_as_it_likes(timeout_s: float, toy_server: Server) -> None:
    with Client(toy_server.address, timeout_s) as client:
        assert client.health()

    async def ask() -> bool:
        async with AsyncClient(toy_server.address, timeout_s) as client:
            return await client.health()

    assert asyncio.run(ask())


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, NOT_A_NUMBER])
def test_a_call_without_any_time_is_refused(timeout_s: float) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(InputError, match="timeout_s: must be above 0, got "):
            kind("127.0.0.1:1", timeout_s)


def requests(
    protocol: CallProtocol[Any], response: Callable[[Any], Any], limits: model_pb2.Limits
) -> list[Any]:
    """The requests of a call, each answered by `response`."""
    sent = list[Any]()
    call = next(protocol)
    try:
        while True:
            if call is LIMITS:
                call = protocol.send(model_pb2.GetServerInfoResponse(limits=limits))
            else:
                sent.append(call.request)
                call = protocol.send(response(call.request))
    except StopIteration:
        return sent


LIMITS_SENT = model_pb2.Limits(sentences_max=1024, count_max=1024, tokens_max=128, rows_max=8192)
METADATA = pb.Metadata(version="v", seed=1)


@pytest.mark.parametrize("length", [4, 40, 390])
@pytest.mark.parametrize("samples", [1, 100, 1000])
def test_a_chunk_of_score_costs_no_more_than_a_core_does_in_seconds(
    length: int, samples: int
) -> None:
    """A hundred importance samples, the default, of eighty sentences took longer than allowed."""
    texts = ["x" * length] * 500

    def response(request: Any) -> Any:
        return pb.ScoreResponse(scores=[pb.Score()] * len(request.sentences), metadata=METADATA)

    sent = requests(calls.score(texts, importance_samples=samples), response, LIMITS_SENT)
    assert sum(len(one.sentences) for one in sent) == len(texts)
    tokens = min(length // 3 + 2, 128)
    most = max(len(one.sentences) for one in sent)
    assert most == 1 or most * samples * tokens <= CHUNK_TOKENS
    assert most == max(1, min(500, CHUNK_TOKENS // (samples * tokens), 8192 // samples))
    assert [one.first_index for one in sent][:2] == [0, most][: len(sent)]


def test_chunks_go_by_the_cost_of_each_item() -> None:
    texts = ["x" * 390, *["a"] * 300, "x" * 390, "x" * 390]

    def response(request: Any) -> Any:
        return pb.ScoreResponse(scores=[pb.Score()] * len(request.sentences), metadata=METADATA)

    sent = requests(calls.score(texts, importance_samples=60), response, LIMITS_SENT)
    assert [list(one.sentences) for one in sent] == [
        [texts[0], *["a"] * 72], ["a"] * 136, ["a"] * 92, texts[-2:]
    ]  # fmt: skip


BROKEN = {
    "protobuf": "import google.protobuf.runtime_version as version; version.MAJOR = 5",
    "grpcio": "import grpc; grpc.__version__ = '1.60.0'",
    "no protobuf": "import sys; sys.modules['google.protobuf'] = None",
    "no grpcio": "import sys; sys.modules['grpc'] = None",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_package_that_does_not_fit_is_a_sentence_that_says_what_to_install(what: str) -> None:
    needs = "textvae needs protobuf>=7.35.1 and grpcio>=1.85.1, here are protobuf "
    fix = "pip install 'protobuf>=7.35.1' 'grpcio>=1.85.1' 'grpcio-status>=1.85.1'"
    terminal = (
        f"{BROKEN[what]}; import sys; from textvae.cli.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", terminal, "info"], capture_output=True, text=True)
    assert done.returncode == 66
    assert done.stderr.startswith(f"textvae: {needs}")
    assert fix in done.stderr
    assert done.stderr.count("\n") == 1
    client = f"{BROKEN[what]}; import textvae.client"
    done = subprocess.run([sys.executable, "-c", client], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith(f"textvae.v1.PackageError: {needs}")


def test_what_the_generated_code_needs_is_what_the_package_requires() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {f"protobuf>={PROTOBUF}", f"grpcio>={GRPCIO}"} <= set(project["dependencies"])
    generated = (ROOT / "textvae/v1/textvae_pb2.py").read_text()
    assert f"# Protobuf Python Version: {PROTOBUF}\n" in generated
    assert (
        f"GRPC_GENERATED_VERSION = '{GRPCIO}'"
        in (ROOT / "textvae/v1/textvae_pb2_grpc.py").read_text()
    )
