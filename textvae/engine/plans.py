"""Each request as work: what is encoded at once, rows for the decoder, the answer made of them."""

import itertools
from collections.abc import Callable, Generator
from typing import NamedTuple

import numpy as np

from textvae.decode.beam import Hypothesis
from textvae.decode.counter import Purpose, normals, uniforms
from textvae.decode.slots import Choice, Finished, Row
from textvae.engine.answers import (
    Drawn,
    Encoded,
    Interpolated,
    Paraphrased,
    Result,
    Scored,
    Written,
)
from textvae.engine.loaded import Loaded
from textvae.engine.requests import (
    GREEDY,
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    Limits,
    Options,
    ParaphraseRequest,
    Request,
    SampleRequest,
    ScoreRequest,
)
from textvae.errors import InputError
from textvae.latent.paths import path
from textvae.text.corpus import normalise


class Plan(NamedTuple):
    """A request's work."""

    rows: list[Row]
    finish: Callable[[list[Finished]], Result]
    """From the finished rows, in the order of `rows`, to the answer."""
    tokens_read: int


Planning = Generator[None, None, Plan]
"""Yields before each bucket of sentences that is encoded, ends with the plan; may raise
InputError."""


def plan(loaded: Loaded, request: Request, limits: Limits, owner: object) -> Planning:
    """The work of a checked request; `owner` marks its rows."""
    match request:
        case EncodeRequest():
            return _encode(loaded, request, limits)
        case DecodeRequest():
            return _decode(loaded, request, limits, owner)
        case SampleRequest():
            return _sample(loaded, request, limits, owner)
        case InterpolateRequest():
            return _interpolate(loaded, request, limits, owner)
        case ParaphraseRequest():
            return _paraphrase(loaded, request, limits, owner)
        case ScoreRequest():
            return _score(loaded, request, limits, owner)


def _encode(loaded: Loaded, request: EncodeRequest, limits: Limits) -> Planning:
    ids = loaded.tokens(_fields(request.sentences), limits.tokens_max)
    posteriors = yield from loaded.encoding(ids)
    samples = _draws(loaded, *posteriors, request.samples, request, 1.0)
    result = Encoded(posteriors.mean, posteriors.logvar, samples)
    return Plan([], lambda _: result, sum(map(len, ids)))


def _decode(loaded: Loaded, request: DecodeRequest, limits: Limits, owner: object) -> Planning:
    yield from ()
    latents = _of_width("latents", request.latents, loaded.latent)
    rows = _rows(owner, latents, request, request.options, limits)
    return Plan(rows, lambda done: Drawn(_written(loaded, done, request.options), latents), 0)


def _sample(loaded: Loaded, request: SampleRequest, limits: Limits, owner: object) -> Planning:
    yield from ()
    prior = request.prior
    if prior == "auto":
        prior = "fitted" if loaded.prior else "standard"
    items = request.first_index + np.arange(request.count, dtype=np.uint64)
    noise = normals(request.seed, items, np.zeros_like(items), loaded.latent, loaded.library)
    if prior == "standard":
        latents = (request.scale * noise).astype(np.float32)
    elif loaded.prior is None:
        raise InputError("prior", "this version has no fitted prior; ask for the standard one")
    else:
        zeros = np.zeros_like(items)
        seeds = np.full_like(items, request.seed)
        chosen = uniforms(seeds, items, zeros, zeros, Purpose.COMPONENT, loaded.library)
        latents = loaded.prior.draw(chosen, noise, request.scale)
    rows = _rows(owner, latents, request, request.options, limits)

    def finish(done: list[Finished]) -> Drawn:
        return Drawn(_written(loaded, done, request.options), latents, prior)

    return Plan(rows, finish, 0)


def _interpolate(
    loaded: Loaded, request: InterpolateRequest, limits: Limits, owner: object
) -> Planning:
    points = np.empty((len(request.points), loaded.latent), np.float32)
    sentences = [place for place, point in enumerate(request.points) if isinstance(point, str)]
    fields = {f"points[{place}].sentence": str(request.points[place]) for place in sentences}
    ids = loaded.tokens(fields, limits.tokens_max)
    points[sentences] = (yield from loaded.encoding(ids)).mean
    for place, point in enumerate(request.points):
        if not isinstance(point, str):
            points[place] = _of_width(f"points[{place}].latents", point[None], loaded.latent)[0]
    way = path(points, request.steps, request.path)
    rows = _rows(owner, way.latents, request, request.options, limits)

    def finish(done: list[Finished]) -> Interpolated:
        written = _written(loaded, done, request.options)
        return Interpolated(way.positions.tolist(), written, way.latents)

    return Plan(rows, finish, sum(map(len, ids)))


def _paraphrase(
    loaded: Loaded, request: ParaphraseRequest, limits: Limits, owner: object
) -> Planning:
    ids = loaded.tokens(_fields(request.sentences), limits.tokens_max)
    mean, logvar = yield from loaded.encoding(ids)
    latents = _draws(loaded, mean, logvar, request.count, request, request.radius)
    moved = (latents - np.repeat(mean, request.count, 0)) / np.exp(
        0.5 * np.repeat(logvar, request.count, 0)
    )
    distances = np.sqrt(np.mean(moved.astype(np.float64) ** 2, 1))
    rows = _rows(owner, latents, request, request.options, limits, request.count)

    def finish(done: list[Finished]) -> Paraphrased:
        written = _written(loaded, done, request.options)
        answer = Paraphrased([], [], [])
        for number, sentence in enumerate(map(normalise, request.sentences)):
            first = number * request.count
            places = first + np.argsort(distances[first : first + request.count], kind="stable")
            if request.distinct:
                places = _distinct(places, written, sentence)
            answer.variations.append([written[place] for place in places])
            answer.latents.append(latents[places])
            answer.distances.append(distances[places].tolist())
        return answer

    return Plan(rows, finish, sum(map(len, ids)))


def _score(loaded: Loaded, request: ScoreRequest, limits: Limits, owner: object) -> Planning:
    ids = loaded.tokens(_fields(request.sentences), limits.tokens_max)
    mean, logvar = yield from loaded.encoding(ids)
    count = request.importance_samples
    latents = _draws(loaded, mean, logvar, count, request, 1.0)
    rows = _rows(owner, latents, request, GREEDY, limits, count)
    rows = [row._replace(given=tuple(ids[place // count])) for place, row in enumerate(rows)]
    variance = np.exp(logvar.astype(np.float64))
    kl = 0.5 * (mean.astype(np.float64) ** 2 + variance - 1 - logvar).sum(1)

    def finish(done: list[Finished]) -> Scored:
        likelihood = np.array([row.log_prob for row in done]).reshape(-1, count)
        # log w = log p(x|z) + log p(z) - log q(z|x); the constants of the two Gaussians cancel.
        z = latents.astype(np.float64).reshape(-1, count, loaded.latent)
        log_q = -0.5 * ((z - mean[:, None]) ** 2 / variance[:, None] + logvar[:, None]).sum(2)
        weights = likelihood - 0.5 * (z**2).sum(2) - log_q
        peak = weights.max(1, keepdims=True)
        iw_nll = -(peak[:, 0] + np.log(np.exp(weights - peak).mean(1)))
        reconstruction = -likelihood.mean(1)
        tokens = np.array([len(one) for one in ids])
        return Scored(reconstruction, kl, -(reconstruction + kl), iw_nll, tokens)

    return Plan(rows, finish, sum(map(len, ids)))


def _fields(sentences: tuple[str, ...]) -> dict[str, str]:
    """The sentences by the name that an error calls them."""
    return {f"sentences[{number}]": sentence for number, sentence in enumerate(sentences)}


def _draws(
    loaded: Loaded,
    mean: np.ndarray,
    logvar: np.ndarray,
    count: int,
    request: EncodeRequest | ParaphraseRequest | ScoreRequest,
    radius: float,
) -> np.ndarray:
    """(n, latent) twice -> (n * count, latent) draws about each mean, a sentence's in a row."""
    items = np.repeat(request.first_index + np.arange(len(mean), dtype=np.uint64), count)
    numbers = np.tile(np.arange(count, dtype=np.uint64), len(mean))
    noise = normals(request.seed, items, numbers, mean.shape[1], loaded.library)
    spread = np.exp(0.5 * logvar.astype(np.float64))
    drawn = np.repeat(mean, count, 0) + radius * np.repeat(spread, count, 0) * noise
    return drawn.astype(np.float32)


def _rows(
    owner: object,
    latents: np.ndarray,
    request: DecodeRequest | SampleRequest | InterpolateRequest | ParaphraseRequest | ScoreRequest,
    options: Options,
    limits: Limits,
    draws: int = 1,
) -> list[Row]:
    """A row a latent; `draws` rows in a row belong to one item."""
    tokens_max = options.tokens_max or limits.tokens_max
    return [
        Row(
            owner,
            place,
            latent,
            tokens_max,
            Choice(
                options.temperature,
                options.top_k,
                options.top_p,
                options.min_p,
                options.no_repeat,
                max(options.beam, 1),
            ),
            request.seed,
            request.first_index + place // draws,
            place % draws,
        )
        for place, latent in enumerate(latents)
    ]


def _written(loaded: Loaded, done: list[Finished], options: Options) -> list[Written]:
    """The rows' sentences, with those of their beams that were asked for."""
    found = [
        [
            Hypothesis(tuple(row.tokens), row.log_prob, row.ended),
            *row.others[: options.alternatives],
        ]
        for row in done
    ]
    flat = [hypothesis for one in found for hypothesis in one]
    texts = loaded.tokenizer.decode([list(hypothesis.tokens) for hypothesis in flat])
    written = iter(
        Written(text, hypothesis.log_prob, len(hypothesis.tokens), hypothesis.ended)
        for text, hypothesis in zip(texts, flat, strict=True)
    )
    return [
        next(written)._replace(alternatives=tuple(itertools.islice(written, len(one) - 1)))
        for one in found
    ]


def _distinct(places: np.ndarray, written: list[Written], sentence: str) -> np.ndarray:
    """The places whose text is neither the sentence nor that of an earlier place."""
    seen = {sentence}
    kept = []
    for place in places:
        if written[place].text not in seen:
            seen.add(written[place].text)
            kept.append(place)
    return np.array(kept, dtype=np.int64)


def _of_width(field: str, latents: np.ndarray, width: int) -> np.ndarray:
    """(n, width) float32, or InputError."""
    if latents.ndim != 2 or latents.shape[1] != width:
        columns = latents.shape[1] if latents.ndim == 2 else 0
        raise InputError(
            field, f"must have {width} columns, got {columns}; encode with this version"
        )
    return np.ascontiguousarray(latents, np.float32)
