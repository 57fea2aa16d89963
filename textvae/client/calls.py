"""The six calls on sentences, as call protocols for both clients.

A call protocol is a generator: it yields requests, is sent their responses and returns its result.
So one definition serves the client that blocks and the one for asyncio. The error of a request is
raised at its `yield`.
"""

from collections.abc import Sequence

import numpy as np

from textvae.client.messages import (
    CHUNK_TOKENS,
    GENERATED_TOKENS,
    LIMITS,
    CallProtocol,
    CallRequest,
    check_spans,
    constraints_message,
    endpoint,
    facts_of,
    generated_sentences_of,
    in_chunks,
    in_chunks_of_rows,
    latents_of,
    list_of,
    message,
    name_of,
    number_of,
    options_message,
    rows_message,
    sentences_of,
    variations_of,
)
from textvae.client.results import (
    DecodeResult,
    EncodeResult,
    InterpolateResult,
    Latents,
    ParaphraseResult,
    SampleResult,
    ScoreResult,
)
from textvae.errors import InputError
from textvae.options import (
    CLOSENESS_DEFAULT,
    GREEDY,
    IMPORTANCE_SAMPLES_DEFAULT,
    METHOD_DEFAULT,
    NO_CONSTRAINTS,
    PATH_DEFAULT,
    PRIOR_DEFAULT,
    RADIUS_DEFAULT,
    SCALE_DEFAULT,
    Constraints,
    Method,
    Options,
    candidates_of,
)
from textvae.v1 import textvae_pb2 as pb

_PRIORS = {
    "auto": pb.PRIOR_UNSPECIFIED,
    "standard": pb.PRIOR_STANDARD,
    "fitted": pb.PRIOR_FITTED,
}
_METHODS = {
    "auto": pb.METHOD_UNSPECIFIED,
    "rephrase": pb.METHOD_REPHRASE,
    "draw": pb.METHOD_DRAW,
    "search": pb.METHOD_SEARCH,
}
_PATHS = {"lerp": pb.PATH_LERP, "slerp": pb.PATH_SLERP}


def encode(
    sentences: Sequence[str],
    *,
    logvar: bool = False,
    samples: int = 0,
    seed: int | None = None,
    first_index: int = 0,
) -> CallProtocol[EncodeResult]:
    """Return the posteriors of sentences, with `samples` draws; `logvar` adds log-variances.

    `first_index` is the number of the first sentence among all sentences of the caller.
    """
    texts = sentences_of("sentences", sentences)

    def request(start: int, end: int) -> pb.EncodeRequest:
        return message(
            pb.EncodeRequest,
            sentences=texts[start:end],
            include_logvar=logvar,
            sample_count=samples,
            seed=seed,
            first_index=first_index + start,
        )

    limits = (yield LIMITS).limits
    size = min(limits.sentences_max, limits.rows_max // max(samples, 1))
    parts = yield from in_chunks("Encode", request, len(texts), size)
    return EncodeResult(
        latents_of(part.mean for part in parts),
        latents_of(part.logvar for part in parts) if logvar else None,
        latents_of(part.samples for part in parts) if samples else None,
        facts_of(parts),
    )


def decode(
    latents: Latents,
    *,
    options: Options = GREEDY,
    seed: int | None = None,
    first_index: int = 0,
) -> CallProtocol[DecodeResult]:
    """Return a sentence per latent; raise VersionError where their version no longer serves."""

    def request(start: int, end: int) -> pb.DecodeRequest:
        return message(
            pb.DecodeRequest,
            latents=rows_message("latents", latents, start, end),
            options=options_message(options),
            seed=seed,
            first_index=first_index + start,
        )

    rows_message("latents", latents, 0, 0)  # that there are any
    latents = latents._replace(values=np.asarray(latents.values, np.float32))
    row_bytes = 4 * max(latents.values.shape[-1], 1)
    # Half of the limit leaves room for everything but the values.
    limits = (yield LIMITS).limits
    size = min(limits.sentences_max, limits.message_bytes_max // 2 // row_bytes)
    size = min(size, _generated(options))
    parts = yield from in_chunks("Decode", request, len(latents.values), size)
    return DecodeResult(generated_sentences_of(part.sentences for part in parts), facts_of(parts))


def _generated(options: Options) -> int:
    """Return how many sentences to generate by one request."""
    return CHUNK_TOKENS // (GENERATED_TOKENS * options.slots)


def sample(
    count: int,
    *,
    prior: str = PRIOR_DEFAULT,
    scale: float = SCALE_DEFAULT,
    options: Options = GREEDY,
    seed: int | None = None,
    first_index: int = 0,
) -> CallProtocol[SampleResult]:
    """Return sentences of `count` draws of a prior: standard, fitted, or auto for either."""
    if not isinstance(count, int | np.integer):
        raise InputError("count", f"must be a whole number, got {count!r}")

    def request(start: int, end: int) -> pb.SampleRequest:
        return message(
            pb.SampleRequest,
            count=end - start,
            prior=number_of("prior", prior, _PRIORS),
            scale=scale,
            options=options_message(options),
            seed=seed,
            first_index=first_index + start,
        )

    limits = (yield LIMITS).limits
    size = min(limits.count_max, limits.rows_max // options.slots, _generated(options))
    parts = yield from in_chunks("Sample", request, count, size)
    return SampleResult(
        generated_sentences_of(part.sentences for part in parts),
        latents_of(part.latents for part in parts),
        name_of("PRIOR", parts[0].prior),
        facts_of(parts),
    )


def interpolate(
    points: Sequence[str | Latents],
    steps: int,
    *,
    path: str = PATH_DEFAULT,
    options: Options = GREEDY,
    seed: int | None = None,
    first_index: int = 0,
) -> CallProtocol[InterpolateResult]:
    """Return `steps` sentences on the path (lerp or slerp) through sentences or single latents."""
    ends = list_of("points", points)
    request = message(
        pb.InterpolateRequest,
        points=[endpoint(f"points[{number}]", point) for number, point in enumerate(ends)],
        steps=steps,
        path=number_of("path", path, _PATHS),
        options=options_message(options),
        seed=seed,
        first_index=first_index,
    )
    part = yield CallRequest("Interpolate", request)
    return InterpolateResult(
        [step.position for step in part.steps],
        generated_sentences_of([[step.sentence for step in part.steps]]),
        latents_of([part.latents]),
        facts_of([part]),
    )


def paraphrase(
    sentences: Sequence[str],
    count: int,
    *,
    radius: float = RADIUS_DEFAULT,
    distinct: bool = False,
    options: Options = GREEDY,
    method: Method = METHOD_DEFAULT,
    candidates: int = 0,
    closeness: float = CLOSENESS_DEFAULT,
    adequacy_min: float = 0.0,
    fluency_max: float | None = None,
    novelty_min: float = 0.0,
    constraints: Constraints = NO_CONSTRAINTS,
    search_steps: int = 0,
    seed: int | None = None,
    first_index: int = 0,
) -> CallProtocol[ParaphraseResult]:
    """Return `count` variations of each sentence, or fewer and the reasons why.

    `closeness` chooses among `candidates`, from 0, free, to 1, faithful; `constraints` always hold.
    """
    texts = sentences_of("sentences", sentences)
    check_spans(constraints, len(texts))

    def request(start: int, end: int) -> pb.ParaphraseRequest:
        return message(
            pb.ParaphraseRequest,
            sentences=texts[start:end],
            count=count,
            radius=radius,
            distinct=distinct,
            options=options_message(options),
            method=number_of("method", method, _METHODS),
            candidates=candidates,
            closeness=closeness,
            adequacy_min=adequacy_min,
            fluency_max=fluency_max,
            novelty_min=novelty_min,
            constraints=constraints_message(constraints, start, end),
            search_steps=search_steps,
            seed=seed,
            first_index=first_index + start,
        )

    rows = rows_a_sentence(count, options, method, candidates)
    parts = yield from in_chunks_of_rows("Paraphrase", request, texts, rows)
    variations = [variations_of(each) for part in parts for each in part.results]
    return ParaphraseResult(variations, name_of("METHOD", parts[0].method), facts_of(parts))


def rows_a_sentence(count: int, options: Options, method: Method, candidates: int) -> int:
    """Return the rows of the decoder that the variations of a sentence may need."""
    most = candidates_of("rephrase" if method == "auto" else method, candidates)
    return max(count, 1) * options.slots * max(most, 1)


def score(
    sentences: Sequence[str],
    *,
    importance_samples: int = IMPORTANCE_SAMPLES_DEFAULT,
    seed: int | None = None,
    first_index: int = 0,
) -> CallProtocol[ScoreResult]:
    """Return scores of sentences, in nats; time and precision grow with `importance_samples`."""
    texts = sentences_of("sentences", sentences)

    def request(start: int, end: int) -> pb.ScoreRequest:
        return message(
            pb.ScoreRequest,
            sentences=texts[start:end],
            importance_samples=importance_samples,
            seed=seed,
            first_index=first_index + start,
        )

    rows = max(importance_samples, 1)
    parts = yield from in_chunks_of_rows("Score", request, texts, rows)
    scores = [score for part in parts for score in part.scores]
    return ScoreResult(
        np.array([score.reconstruction_nats for score in scores]),
        np.array([score.kl_nats for score in scores]),
        np.array([score.elbo_nats for score in scores]),
        np.array([score.iw_nll_nats for score in scores]),
        np.array([score.tokens for score in scores]),
        facts_of(parts),
    )
