"""The clients: numpy in and out, chunks that are one large call, and typed errors."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving import Server, another_version, copied, put_in_service, serving, within
from textvae.client import AsyncClient, Client, Latents
from textvae.client.messages import CallRequest, in_chunks
from textvae.errors import (
    BusyError,
    InputError,
    NotFoundError,
    TextVaeError,
    UnavailableError,
    VersionError,
)
from textvae.options import Options
from textvae.v1 import textvae_pb2 as pb

SENTENCES = [
    "the cat sees the dog",
    "the teacher does not find the letter",
    "a dog",
    "the farmers will see the cat in the garden",
    "the cat",
]
SAMPLED = Options(temperature=0.9, tokens_max=10)
NOWHERE = "127.0.0.1:1"
METHODS: dict[str, Callable[[Any, Latents], Any]] = {
    "encode": lambda client, _: client.encode(SENTENCES, logvar=True, samples=2, seed=3),
    "decode": lambda client, mean: client.decode(mean, options=SAMPLED, seed=3),
    "sample": lambda client, _: client.sample(5, options=SAMPLED, seed=3),
    "interpolate": lambda client, mean: client.interpolate(
        [SENTENCES[0], Latents(mean.values[1:2], mean.version)], 4, path="slerp", seed=3
    ),
    "beam": lambda client, _: client.paraphrase(SENTENCES, 3, options=Options(beam=2), seed=3),
    "paraphrase": lambda client, _: client.paraphrase(SENTENCES, 3, options=SAMPLED, seed=3),
    "judged": lambda client, _: client.paraphrase(SENTENCES, 1, candidates=3, seed=3),
    "score": lambda client, _: client.score(SENTENCES, importance_samples=3, seed=3),
}
"""A call of each method; five items, so that a server with a limit of two gets chunks."""


@pytest.fixture(scope="module")
def client(toy_server: Server) -> Iterator[Client]:
    with Client(toy_server.address) as client:
        yield client


@pytest.fixture(scope="module")
def mean(client: Client) -> Latents:
    return client.encode(SENTENCES).mean


@pytest.fixture(scope="module")
def narrow_server(registry: Path) -> Iterator[Server]:
    """A server of the same version that takes two items in a call."""
    limits = ("--sentences-max", "2", "--count-max", "3", "--waiting-rows-max", "6")
    with serving(registry, *limits) as server:
        yield server


def as_lists(result: Any) -> Any:
    """A result as nested lists, without the facts that may differ between equal calls."""
    if isinstance(result, np.ndarray):
        return result.tolist()
    if hasattr(result, "_asdict"):
        fields = result._asdict().items()
        return {name: as_lists(value) for name, value in fields if name != "facts"}
    if isinstance(result, list):
        return [as_lists(value) for value in result]
    return result


def test_latents_come_as_float32_rows_of_a_version(client: Client, toy_server: Server) -> None:
    encoded = client.encode(SENTENCES, logvar=True, samples=3)
    latent = client.info().latent
    assert encoded.mean.values.shape == (5, latent)
    assert encoded.mean.values.dtype == np.float32
    assert encoded.logvar is not None
    assert encoded.logvar.values.shape == (5, latent)
    assert encoded.samples is not None
    assert encoded.samples.values.shape == (15, latent)
    assert encoded.mean.version == encoded.facts.version == toy_server.version
    assert client.encode(SENTENCES).logvar is None


def test_latents_one_has_computed_are_decoded(client: Client, mean: Latents) -> None:
    halfway = Latents((mean.values[:1] + mean.values[1:2]) / 2, mean.version)
    decoded = client.decode(halfway)
    walked = client.interpolate(SENTENCES[:2], 3)
    assert decoded.sentences[0].text == walked.sentences[1].text


@pytest.mark.parametrize("method", METHODS)
def test_an_input_in_chunks_has_the_result_of_one_large_call(
    method: str, client: Client, narrow_server: Server, mean: Latents
) -> None:
    with Client(narrow_server.address) as narrow:
        full, parts = METHODS[method](client, mean), METHODS[method](narrow, mean)
    assert as_lists(parts) == as_lists(full)
    assert parts.facts.seed == full.facts.seed == 3
    assert parts.facts.tokens == full.facts.tokens


def test_chunks_share_the_seed_that_the_server_drew_for_the_first(
    client: Client, narrow_server: Server
) -> None:
    with Client(narrow_server.address) as narrow:
        sampled = narrow.sample(7, options=SAMPLED)
    again = client.sample(7, options=SAMPLED, seed=sampled.facts.seed)
    assert as_lists(again) == as_lists(sampled)


@pytest.mark.parametrize("method", METHODS)
def test_the_asynchronous_client_has_the_results_of_the_blocking_one(
    method: str, client: Client, toy_server: Server, mean: Latents
) -> None:
    async def call() -> Any:
        async with AsyncClient(toy_server.address) as other:
            return await METHODS[method](other, mean)

    assert as_lists(asyncio.run(call())) == as_lists(METHODS[method](client, mean))


def test_asynchronous_calls_run_concurrently(toy_server: Server) -> None:
    async def call() -> list[Any]:
        async with AsyncClient(toy_server.address) as client:
            return await asyncio.gather(*(client.sample(1, seed=seed) for seed in range(20)))

    assert [sampled.facts.seed for sampled in asyncio.run(call())] == list(range(20))


def test_both_clients_have_the_same_methods_with_inspectable_signatures() -> None:
    for name, method in vars(Client).items():
        if not name.startswith("_") and name != "close":
            assert inspect.getdoc(getattr(AsyncClient, name)) == inspect.getdoc(method)
    assert "importance_samples" in inspect.signature(Client.score).parameters


def test_info_models_and_health_are_reported(client: Client, toy_server: Server) -> None:
    info = client.info()
    assert (info.version, info.limits.steps_max) == (toy_server.version, 64)
    serving_now = [model for model in client.models() if model.serving]
    assert [model.version for model in serving_now] == [toy_server.version]
    shown = client.model(serving_now[0].name)
    assert shown.manifest is not None
    assert sum(file["bytes"] for file in shown.manifest["files"].values()) == shown.bytes
    assert client.health() is True
    with Client(NOWHERE) as lost:
        assert lost.health() is False


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda client, _: client.encode([]),
            InputError,
            "sentences: must be 1 to 1024 sentences, got 0",
        ),
        (
            lambda client, _: client.encode("the cat"),
            InputError,
            "sentences: must be a list, got one string; put it in brackets",
        ),
        (
            lambda client, _: client.encode(["\ud800"]),
            InputError,
            "sentences[0]: character 0 is a lone surrogate; sentences are Unicode text",
        ),
        (lambda client, _: client.sample(0), InputError, "count: must be 1 to 1024, got 0"),
        (
            lambda client, _: client.sample(-1),
            InputError,
            "count: cannot be sent: Value out of range: -1",
        ),
        (
            lambda client, _: client.sample(1, prior="best"),
            InputError,
            "prior: must be one of auto, standard, fitted, got 'best'",
        ),
        (
            lambda client, mean: client.decode(Latents(mean.values[0], mean.version)),
            InputError,
            "latents: must be an array (n, latent), got the shape (16,)",
        ),
        (
            lambda client, mean: client.decode(mean._replace(version="20200101-0123456789ab")),
            VersionError,
            "latents.version: the latents belong to 20200101-0123456789ab but {version} serves; "
            "encode the sentences again",
        ),
        (
            lambda client, _: client.model("models/toy/versions/none"),
            NotFoundError,
            "name: there is no models/toy/versions/none; ListModels says the names there are",
        ),
    ],
)
def test_errors_are_typed_and_say_what_is_wrong(
    call: Callable[[Client, Latents], Any],
    kind: type[TextVaeError],
    message: str,
    client: Client,
    mean: Latents,
) -> None:
    with pytest.raises(kind) as error:
        call(client, mean)
    width = f"({mean.values.shape[1]},)"
    assert str(error.value) == message.format(version=mean.version).replace("(16,)", width)
    assert type(error.value) is kind


def test_an_input_error_of_the_server_knows_its_field(client: Client) -> None:
    with pytest.raises(InputError) as error:
        client.encode(["a", " "])
    assert error.value.field == "sentences[1]"


def test_no_server_and_no_time_are_distinct_errors(client: Client, toy_server: Server) -> None:
    with Client(NOWHERE) as lost, pytest.raises(UnavailableError) as error:
        lost.sample(1)
    assert str(error.value).startswith(f"{NOWHERE}: no server answers")
    assert str(error.value).endswith("start one with textvae serve, or name another address")
    with Client(toy_server.address, timeout_s=0.2) as hasty:
        hasty.sample(1)
        with pytest.raises(UnavailableError) as error:
            hasty.sample(1024, options=Options(temperature=10))
    assert str(error.value) == (
        f"{toy_server.address}: no answer within 0.2 s; ask for less, or allow more time"
    )


def test_a_full_server_is_called_again_and_at_last_reported_as_busy(registry: Path) -> None:
    async def flood(address: str) -> list[Any]:
        async with AsyncClient(address, timeout_s=60) as client:
            options = Options(temperature=10, tokens_max=16)
            calls = (client.sample(200, options=options) for _ in range(20))
            return await asyncio.gather(*calls, return_exceptions=True)

    with serving(registry, "--waiting-rows-max", "300") as server:
        outcomes = asyncio.run(flood(server.address))
        with Client(server.address) as client:
            assert len(client.sample(3).sentences) == 3
    answered = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    # Without another try only the first call would be answered.
    assert len(answered) > 1
    assert {type(outcome) for outcome in outcomes if outcome not in answered} <= {BusyError}


def test_a_champion_that_changes_between_two_chunks_begins_the_input_again() -> None:
    def request(start: int, end: int) -> pb.SampleRequest:
        return pb.SampleRequest(count=end - start, first_index=start)

    def response(version: str) -> pb.SampleResponse:
        return pb.SampleResponse(metadata=pb.Metadata(version=version, seed=9))

    protocol = in_chunks("Sample", request, 5, 2)
    first = next(protocol)
    assert first == CallRequest("Sample", pb.SampleRequest(count=2))
    second = protocol.send(response("old")).request
    assert (second.version, second.seed, second.first_index) == ("old", 9, 2)
    assert protocol.throw(VersionError("old does not serve")) == first
    assert protocol.send(response("new")).request.version == "new"
    assert protocol.send(response("new")).request.count == 1
    with pytest.raises(StopIteration) as end:
        protocol.send(response("new"))
    assert [part.metadata.version for part in end.value.value] == ["new"] * 3


def test_a_first_chunk_of_another_version_is_not_tried_again() -> None:
    protocol = in_chunks("Decode", lambda start, end: pb.DecodeRequest(), 5, 2)
    next(protocol)
    with pytest.raises(VersionError):
        protocol.throw(VersionError("latents.version: ..."))


def test_chunks_never_mix_two_champions(registry: Path, tmp_path: Path) -> None:
    own = copied(registry, tmp_path)
    new = another_version(own)
    flags = ("--sentences-max", "1", "--poll-s", "0.05")
    with serving(own, *flags) as server, Client(server.address) as client:
        put_in_service(own, new)
        versions: set[str] = set()

        def changed() -> bool:
            versions.add(client.encode(SENTENCES * 4).mean.version)
            return new.name in versions

        within(20, changed)
    assert versions <= {server.version, new.name}
