"""The engine's replies to messages."""

from textvae.engine.answers import GeneratedSentence, Reply
from textvae.engine.operations.decode import DecodeResult
from textvae.engine.operations.encode import EncodeResult
from textvae.engine.operations.interpolate import InterpolateResult
from textvae.engine.operations.paraphrase import ParaphraseResult
from textvae.engine.operations.sample import SampleResult
from textvae.engine.operations.score import ScoreResult
from textvae.v1 import textvae_pb2 as pb
from textvae.wire import latents_message

_MISSING = {
    "copy": pb.MISSING_REASON_COPY,
    "repeat": pb.MISSING_REASON_REPEAT,
    "not-adequate": pb.MISSING_REASON_NOT_ADEQUATE,
    "not-fluent": pb.MISSING_REASON_NOT_FLUENT,
    "not-novel": pb.MISSING_REASON_NOT_NOVEL,
    "length": pb.MISSING_REASON_LENGTH,
    "lock-unmet": pb.MISSING_REASON_LOCK_UNMET,
    "budget": pb.MISSING_REASON_BUDGET,
}
_METHODS = {
    "rephrase": pb.METHOD_REPHRASE,
    "draw": pb.METHOD_DRAW,
    "search": pb.METHOD_SEARCH,
}
_PRIORS = {"standard": pb.PRIOR_STANDARD, "fitted": pb.PRIOR_FITTED}


def encode(reply: Reply, message: pb.EncodeRequest, version: str) -> pb.EncodeResponse:
    """Build the response with the posteriors and the parts that `message` requests."""
    result = reply.result
    assert isinstance(result, EncodeResult)
    # Passed to the constructor: CopyFrom would take as long for every float as a list does.
    requested = {"logvar": message.include_logvar, "samples": message.sample_count}
    parts = {
        name: latents_message(getattr(result, name), version)
        for name in requested
        if requested[name]
    }
    mean = latents_message(result.mean, version)
    return pb.EncodeResponse(mean=mean, metadata=_metadata(reply, version), **parts)


def decode(reply: Reply, message: pb.DecodeRequest, version: str) -> pb.DecodeResponse:
    """Build the response with the sentences."""
    result = reply.result
    assert isinstance(result, DecodeResult)
    return pb.DecodeResponse(
        sentences=map(_sentence, result.sentences), metadata=_metadata(reply, version)
    )


def sample(reply: Reply, message: pb.SampleRequest, version: str) -> pb.SampleResponse:
    """Build the response with the sentences, their latents and their prior."""
    result = reply.result
    assert isinstance(result, SampleResult)
    return pb.SampleResponse(
        sentences=map(_sentence, result.sentences),
        latents=latents_message(result.latents, version),
        prior=_PRIORS[result.prior],
        metadata=_metadata(reply, version),
    )


def interpolate(
    reply: Reply, message: pb.InterpolateRequest, version: str
) -> pb.InterpolateResponse:
    """Build the response with the steps and their latents."""
    result = reply.result
    assert isinstance(result, InterpolateResult)
    return pb.InterpolateResponse(
        steps=(
            pb.Step(position=position, sentence=_sentence(sentence))
            for position, sentence in zip(result.positions, result.sentences, strict=True)
        ),
        latents=latents_message(result.latents, version),
        metadata=_metadata(reply, version),
    )


def paraphrase(reply: Reply, message: pb.ParaphraseRequest, version: str) -> pb.ParaphraseResponse:
    """Build the response with the variations of each sentence."""
    result = reply.result
    assert isinstance(result, ParaphraseResult)
    results = (
        pb.Variations(
            variations=(
                pb.Variation(
                    sentence=_sentence(one.sentence),
                    distance=one.distance,
                    axes=pb.Axes(**one.axes._asdict()) if one.axes else None,
                    locks=(pb.Lock(**lock._asdict()) for lock in one.locks),
                )
                for one in each.variations
            ),
            latents=latents_message(each.latents, version),
            missing=(_MISSING[reason] for reason in each.missing),
            source_fluency=each.source_fluency,
        )
        for each in result.results
    )
    return pb.ParaphraseResponse(
        results=results, metadata=_metadata(reply, version), method=_METHODS[result.method]
    )


def score(reply: Reply, message: pb.ScoreRequest, version: str) -> pb.ScoreResponse:
    """Build the response with the scores."""
    result = reply.result
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
    return pb.ScoreResponse(scores=scores, metadata=_metadata(reply, version))


def _sentence(sentence: GeneratedSentence) -> pb.GeneratedSentence:
    """Build the message of a sentence that the decoder generated."""
    reason = pb.FINISH_REASON_ENDED if sentence.ended else pb.FINISH_REASON_TOKENS_MAX
    return pb.GeneratedSentence(
        text=sentence.text,
        log_prob=sentence.log_prob,
        tokens=sentence.tokens,
        finish_reason=reason,
        alternatives=map(_sentence, sentence.alternatives),
    )


def _metadata(reply: Reply, version: str) -> pb.Metadata:
    """Build the metadata of a response."""
    return pb.Metadata(
        version=version,
        seed=reply.seed,
        queue_us=reply.queue_us,
        compute_us=reply.compute_us,
        tokens=reply.tokens,
        batch_rows=reply.batch_rows,
    )
