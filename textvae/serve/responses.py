"""The engine's results to messages."""

from textvae.engine.answers import GeneratedSentence, Reply
from textvae.engine.operations.decode import DecodeResult
from textvae.engine.operations.encode import EncodeResult
from textvae.engine.operations.interpolate import InterpolateResult
from textvae.engine.operations.paraphrase import ParaphraseResult
from textvae.engine.operations.sample import SampleResult
from textvae.engine.operations.score import ScoreResult
from textvae.v1 import textvae_pb2 as pb
from textvae.wire import latents_message

_PRIORS = {"standard": pb.PRIOR_STANDARD, "fitted": pb.PRIOR_FITTED}


def encode(done: Reply, message: pb.EncodeRequest, version: str) -> pb.EncodeResponse:
    """The posteriors; `message` says which of their parts were asked for."""
    result = done.result
    assert isinstance(result, EncodeResult)
    # Handed over whole: CopyFrom would take as long for every float as a list does.
    asked = {"logvar": message.include_logvar, "samples": message.sample_count}
    parts = {name: latents_message(getattr(result, name), version) for name in asked if asked[name]}
    mean = latents_message(result.mean, version)
    return pb.EncodeResponse(mean=mean, metadata=_metadata(done, version), **parts)


def decode(done: Reply, message: pb.DecodeRequest, version: str) -> pb.DecodeResponse:
    """The sentences."""
    result = done.result
    assert isinstance(result, DecodeResult)
    return pb.DecodeResponse(
        sentences=map(_sentence, result.sentences), metadata=_metadata(done, version)
    )


def sample(done: Reply, message: pb.SampleRequest, version: str) -> pb.SampleResponse:
    """The sentences, their latents and the prior they came from."""
    result = done.result
    assert isinstance(result, SampleResult)
    return pb.SampleResponse(
        sentences=map(_sentence, result.sentences),
        latents=latents_message(result.latents, version),
        prior=_PRIORS[result.prior],
        metadata=_metadata(done, version),
    )


def interpolate(
    done: Reply, message: pb.InterpolateRequest, version: str
) -> pb.InterpolateResponse:
    """The steps and their latents."""
    result = done.result
    assert isinstance(result, InterpolateResult)
    return pb.InterpolateResponse(
        steps=(
            pb.Step(position=position, sentence=_sentence(written))
            for position, written in zip(result.positions, result.sentences, strict=True)
        ),
        latents=latents_message(result.latents, version),
        metadata=_metadata(done, version),
    )


def paraphrase(done: Reply, message: pb.ParaphraseRequest, version: str) -> pb.ParaphraseResponse:
    """The variations of each sentence."""
    result = done.result
    assert isinstance(result, ParaphraseResult)
    results = (
        pb.Variations(
            variations=(
                pb.Variation(sentence=_sentence(written), distance=distance)
                for written, distance in zip(variations, distances, strict=True)
            ),
            latents=latents_message(latents, version),
        )
        for variations, latents, distances in zip(*result, strict=True)
    )
    return pb.ParaphraseResponse(results=results, metadata=_metadata(done, version))


def score(done: Reply, message: pb.ScoreRequest, version: str) -> pb.ScoreResponse:
    """The scores."""
    result = done.result
    assert isinstance(result, ScoreResult)
    scores = (
        pb.Score(
            reconstruction_nats=reconstruction,
            kl_nats=kl,
            elbo_nats=elbo,
            iw_nll_nats=iw_nll,
            tokens=tokens,
        )
        for reconstruction, kl, elbo, iw_nll, tokens in zip(*result, strict=True)
    )
    return pb.ScoreResponse(scores=scores, metadata=_metadata(done, version))


def _sentence(written: GeneratedSentence) -> pb.GeneratedSentence:
    """A sentence that the decoder wrote."""
    reason = pb.FINISH_REASON_ENDED if written.ended else pb.FINISH_REASON_TOKENS_MAX
    return pb.GeneratedSentence(
        text=written.text,
        log_prob=written.log_prob,
        tokens=written.tokens,
        finish_reason=reason,
        alternatives=map(_sentence, written.alternatives),
    )


def _metadata(done: Reply, version: str) -> pb.Metadata:
    """How a response was made."""
    return pb.Metadata(
        version=version,
        seed=done.seed,
        queue_us=done.queue_us,
        compute_us=done.compute_us,
        tokens=done.tokens,
        batch_rows=done.batch_rows,
    )
