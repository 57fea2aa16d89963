"""The service, called as any client may call it: sentences to latents to sentences, and replays."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.serving import Server, within
from textvae.v1 import model_pb2, model_pb2_grpc
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

SENTENCES = ("the cat sees the dog", "the teacher does not find the letter in the garden")
NEIGHBOURS = 32


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> TextVaeServiceStub:
    """The generated stub."""
    return TextVaeServiceStub(channel)


def timeless(response: Any) -> bytes:
    """A response without what may differ between two equal calls."""
    for field in ("queue_us", "compute_us", "batch_rows"):
        response.metadata.ClearField(field)
    return bytes(response.SerializeToString(deterministic=True))


def requests(mean: pb.Latents) -> dict[str, Any]:
    """A request of each method that draws where it can."""
    options = pb.Options(temperature=0.8, tokens_max=12)
    ends = [pb.Endpoint(sentence=SENTENCES[0]), pb.Endpoint(latents=mean)]
    return {
        "Encode": pb.EncodeRequest(sentences=SENTENCES, include_logvar=True, sample_count=2),
        "Decode": pb.DecodeRequest(latents=mean, options=options),
        "Sample": pb.SampleRequest(count=3, options=options),
        "Interpolate": pb.InterpolateRequest(points=ends, steps=4, options=options),
        "Paraphrase": pb.ParaphraseRequest(sentences=SENTENCES, count=3, options=options),
        "Score": pb.ScoreRequest(sentences=SENTENCES, importance_samples=4),
    }


METHODS = ("Encode", "Decode", "Sample", "Interpolate", "Paraphrase", "Score")


@pytest.fixture(scope="module")
def mean(stub: TextVaeServiceStub) -> pb.Latents:
    """The latent of a sentence."""
    return stub.Encode(pb.EncodeRequest(sentences=SENTENCES[:1])).mean


def test_the_generated_stubs_alone_walk_from_sentences_to_latents_and_back(
    stub: TextVaeServiceStub, toy_server: Server
) -> None:
    encoded = stub.Encode(pb.EncodeRequest(sentences=SENTENCES, include_logvar=True))
    mean = encoded.mean
    assert (len(mean.values), mean.version) == (2 * mean.columns, toy_server.version)
    assert len(encoded.logvar.values) == len(mean.values)
    assert not encoded.HasField("samples")
    decoded = stub.Decode(pb.DecodeRequest(latents=mean))
    assert len(decoded.sentences) == len(SENTENCES)
    assert all(sentence.log_prob < 0 for sentence in decoded.sentences)
    # The ends of a path are the reconstructions of its points, to the bit.
    points = [pb.Endpoint(sentence=sentence) for sentence in SENTENCES]
    walked = stub.Interpolate(pb.InterpolateRequest(points=points, steps=5))
    assert [step.position for step in walked.steps] == [0, 0.25, 0.5, 0.75, 1]
    assert walked.steps[0].sentence == decoded.sentences[0]
    assert walked.steps[-1].sentence == decoded.sentences[1]


@pytest.mark.parametrize(
    "option", [{"top_k": 2}, {"top_p": 0.3}, {"min_p": 0.5}, {"no_repeat": 1}, {"tokens_max": 3}]
)
def test_every_option_of_writing_reaches_the_decoder(
    stub: TextVaeServiceStub, option: dict[str, Any]
) -> None:
    free, bound = (
        stub.Sample(pb.SampleRequest(count=64, seed=3, options=pb.Options(temperature=1.5, **some)))
        for some in ({}, option)
    )
    assert bound.sentences != free.sentences


def test_reflection_alone_walks_from_sentences_to_latents_and_back(channel: grpc.Channel) -> None:
    known = ProtoReflectionDescriptorDatabase(channel)
    assert sorted(known.get_services()) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "textvae.v1.ModelService",
        "textvae.v1.TextVaeService",
    ]
    service = descriptor_pool.DescriptorPool(known).FindServiceByName("textvae.v1.TextVaeService")

    def call(name: str, **fields: Any) -> Any:
        method = service.FindMethodByName(name)
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        path = f"/{service.full_name}/{name}"
        send = channel.unary_unary(path, request.SerializeToString, response.FromString)
        return send(request(**fields))

    encoded = call("Encode", sentences=SENTENCES)
    decoded = call("Decode", latents=encoded.mean)
    assert [bool(sentence.tokens) for sentence in decoded.sentences] == [True, True]
    assert decoded.metadata.version == encoded.metadata.version


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_that_the_server_drew_replays_the_response(
    method: str, stub: TextVaeServiceStub, mean: pb.Latents
) -> None:
    request = requests(mean)[method]
    first = getattr(stub, method)(request)
    assert 0 < first.metadata.seed < 2**53
    assert first.metadata.tokens > 0
    request.seed = first.metadata.seed
    assert timeless(getattr(stub, method)(request)) == timeless(first)


def test_another_seed_draws_another_sample(stub: TextVaeServiceStub) -> None:
    draws = [stub.Sample(pb.SampleRequest(count=2, seed=seed)).latents.values for seed in (1, 2)]
    assert set(draws[0]).isdisjoint(draws[1])


def test_a_response_is_the_same_alone_and_among_neighbours_in_one_batch(
    stub: TextVaeServiceStub, mean: pb.Latents
) -> None:
    options = pb.Options(temperature=1, tokens_max=60)
    request = pb.DecodeRequest(latents=mean, options=options, seed=7)
    alone = stub.Decode(request)
    assert alone.metadata.batch_rows == 1
    for _ in range(5):  # the others may all come too late; then they are sent again
        others = [
            stub.Sample.future(pb.SampleRequest(count=1, seed=seed, options=options))
            for seed in range(NEIGHBOURS)
        ]
        among = stub.Decode(request)
        for other in others:
            other.result()
        if among.metadata.batch_rows > NEIGHBOURS // 2:
            break
    assert among.metadata.batch_rows > NEIGHBOURS // 2
    assert timeless(among) == timeless(alone)


@pytest.mark.parametrize(
    ("prior", "used"),
    [(pb.PRIOR_UNSPECIFIED, pb.PRIOR_FITTED), (pb.PRIOR_STANDARD, pb.PRIOR_STANDARD)],
)
def test_a_sample_says_which_prior_it_is_of(
    prior: pb.Prior, used: pb.Prior, stub: TextVaeServiceStub
) -> None:
    assert stub.Sample(pb.SampleRequest(count=1, prior=prior)).prior == used


def test_a_radius_of_zero_reconstructs(stub: TextVaeServiceStub, mean: pb.Latents) -> None:
    request = pb.ParaphraseRequest(sentences=SENTENCES[:1], count=2, radius=0)
    found = stub.Paraphrase(request).results[0]
    assert [variation.distance for variation in found.variations] == [0, 0]
    assert found.latents.values[: mean.columns] == mean.values
    reconstruction = stub.Decode(pb.DecodeRequest(latents=mean)).sentences[0]
    assert found.variations[0].sentence == reconstruction


def test_scores_add_up(stub: TextVaeServiceStub) -> None:
    scores = stub.Score(pb.ScoreRequest(sentences=SENTENCES)).scores
    for score in scores:
        assert score.elbo_nats == -(score.reconstruction_nats + score.kl_nats)
        assert 0 < score.iw_nll_nats <= -score.elbo_nats + score.kl_nats
    assert scores[0].tokens < scores[1].tokens


def test_a_token_limit_cuts_and_says_so(stub: TextVaeServiceStub, mean: pb.Latents) -> None:
    request = pb.DecodeRequest(latents=mean, options=pb.Options(tokens_max=1))
    sentence = stub.Decode(request).sentences[0]
    assert (sentence.tokens, sentence.finish_reason) == (1, pb.FINISH_REASON_TOKENS_MAX)


def test_health_is_serving_for_the_server_and_each_service(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "textvae.v1.TextVaeService", "textvae.v1.ModelService"):
        response = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as refused:
        health.Check(health_pb2.HealthCheckRequest(service="unknown"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_the_server_reports_what_serves_and_its_limits(
    channel: grpc.Channel, toy_server: Server, mean: pb.Latents
) -> None:
    info = model_pb2_grpc.ModelServiceStub(channel).GetServerInfo(model_pb2.GetServerInfoRequest())
    assert (info.model, info.version) == ("toy", toy_server.version)
    assert info.latent == mean.columns
    assert info.has_fitted_prior
    assert info.arithmetic.startswith("fp32, rows exact")
    assert (info.limits.sentences_max, info.limits.steps_max) == (1024, 64)
    assert info.load.slots == 64


def test_models_are_listed_and_shown_with_their_manifest(
    channel: grpc.Channel, toy_server: Server
) -> None:
    models = model_pb2_grpc.ModelServiceStub(channel)
    listed = models.ListModels(model_pb2.ListModelsRequest()).models
    assert [model.version for model in listed if model.state == model_pb2.STATE_SERVING] == [
        toy_server.version
    ]
    name = f"models/toy/versions/{toy_server.version}"
    shown = models.GetModel(model_pb2.GetModelRequest(name=name)).model
    assert shown.manifest_sha256[:12] == toy_server.version[-12:]
    assert '"model.safetensors"' in shown.manifest_json
    assert shown.bytes > 1000


def rows(channel: grpc.Channel) -> int:
    """Rows that the engine has to do."""
    models = model_pb2_grpc.ModelServiceStub(channel)
    load = models.GetServerInfo(model_pb2.GetServerInfoRequest()).load
    return load.active_rows + load.waiting_rows


def test_a_cancelled_call_frees_its_rows(stub: TextVaeServiceStub, channel: grpc.Channel) -> None:
    options = pb.Options(temperature=10, tokens_max=128)
    call = stub.Sample.future(pb.SampleRequest(count=1024, options=options))
    within(5, lambda: rows(channel) > 64)
    call.cancel()
    within(1, lambda: rows(channel) == 0)


def test_a_passed_deadline_frees_the_rows_too(
    stub: TextVaeServiceStub, channel: grpc.Channel
) -> None:
    options = pb.Options(temperature=10, tokens_max=128)
    with pytest.raises(grpc.RpcError) as late:
        stub.Sample(pb.SampleRequest(count=1024, options=options), timeout=1)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    within(1, lambda: rows(channel) == 0)


def test_many_callers_at_once_are_all_answered(stub: TextVaeServiceStub) -> None:
    def count(seed: int) -> int:
        return len(stub.Sample(pb.SampleRequest(count=2, seed=seed)).sentences)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(count, range(64))) == [2] * 64


def test_the_bytes_of_latents_are_the_floats(stub: TextVaeServiceStub) -> None:
    mean = stub.Encode(pb.EncodeRequest(sentences=SENTENCES)).mean
    again = pb.Latents(values=list(mean.values), columns=mean.columns, version=mean.version)
    assert again == mean
    assert np.isfinite(mean.values).all()


def test_the_probe_of_the_terminal_finds_the_server(toy_server: Server) -> None:
    command = [sys.executable, "-m", "textvae.cli", "health", "--address", toy_server.address]
    assert subprocess.run(command, capture_output=True).returncode == 0
