"""The engine over a trained toy model: its answers, its errors, and that they never change."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import toys
from tests.answers import answer_fields, beside_others, fields_of
from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.encode import EncodeRequest, EncodeResult
from textvae.engine.operations.interpolate import InterpolateRequest, InterpolateResult
from textvae.engine.operations.paraphrase import ParaphraseRequest, ParaphraseResult
from textvae.engine.operations.sample import SampleRequest, SampleResult
from textvae.engine.operations.score import ScoreRequest, ScoreResult
from textvae.engine.request import Request
from textvae.engine.start import load_engine
from textvae.errors import BusyError, InputError
from textvae.options import Options

ONE, OTHER = "The child will sing a song at home.", "The old kings rode the brown horse outside."
DRAWING = Options(temperature=0.9, top_k=40)
GUARDED = Options(temperature=1.5, min_p=0.05, no_repeat=2)


@pytest.fixture(scope="module")
def engine(registry: Path) -> Iterator[Engine]:
    """An engine of the toy version."""
    running = load_engine(registry, toys.MODEL, None, ServeConfig(waiting_rows_max=4096))
    yield running
    assert running.close(30)


REQUESTS: list[Request] = [
    EncodeRequest((ONE, OTHER), samples=2, seed=5),
    SampleRequest(3, options=DRAWING, seed=6),
    SampleRequest(3, options=GUARDED, seed=9),
    SampleRequest(3, options=Options(beam=4, alternatives=2), seed=12),
    SampleRequest(3, "standard", 1.2, seed=16),
    InterpolateRequest((ONE, OTHER), 5, seed=1),
    InterpolateRequest((ONE, OTHER), 5, "slerp", DRAWING, seed=2),
    ParaphraseRequest((ONE,), 4, 2.0, options=DRAWING, seed=7),
    ParaphraseRequest((ONE, OTHER), 2, 2.0, options=DRAWING, candidates=3, seed=17),
    ScoreRequest((ONE, OTHER), 5, seed=8),
]


@pytest.mark.parametrize(
    "request_", [pytest.param(one, id=f"{type(one).__name__}-{one.seed}") for one in REQUESTS]
)
def test_a_request_has_the_same_bytes_alone_and_in_a_batch_with_32_others(
    engine: Engine, request_: Request
) -> None:
    """And the same again from an engine that was loaded anew."""
    alone = answer_fields(engine, request_)
    done = beside_others(engine, request_)
    if not isinstance(request_, EncodeRequest):
        assert done.batch_rows > 32, "the request ran alone; the test shows nothing"
    assert fields_of(done) == alone


def test_an_engine_loaded_anew_answers_the_same_bytes(engine: Engine, registry: Path) -> None:
    again = load_engine(registry, toys.MODEL, engine.version.name, ServeConfig(slots=16, threads=1))
    try:
        for request in REQUESTS:
            assert answer_fields(again, request) == answer_fields(engine, request)
    finally:
        again.close(30)


def test_a_request_cut_in_parts_is_the_request(engine: Engine) -> None:
    """`first_index` carries the address of the random numbers over."""
    full = engine.answer(SampleRequest(10, options=DRAWING, seed=3))
    parts = [
        engine.answer(SampleRequest(count, options=DRAWING, seed=3, first_index=first))
        for first, count in ((0, 4), (4, 6))
    ]
    assert [one for part in parts for one in part.sentences] == full.sentences
    many = tuple(row.text for row in toys.corpus().test[:6])
    both = engine.answer(ParaphraseRequest(many, 3, options=DRAWING, seed=3))
    rest = engine.answer(ParaphraseRequest(many[4:], 3, options=DRAWING, seed=3, first_index=4))
    assert [[one.sentence for one in each.variations] for each in rest.results] == [
        [one.sentence for one in each.variations] for each in both.results[4:]
    ]


def test_seeds_and_items_give_different_draws(engine: Engine) -> None:
    texts = {
        tuple(one.text for one in engine.answer(SampleRequest(20, seed=seed)).sentences)
        for seed in range(3)
    }
    assert len(texts) == 3


def test_most_sentences_come_back_as_they_went_in(engine: Engine) -> None:
    sentences = tuple(row.text for row in toys.corpus().test[:200])
    latents = engine.answer(EncodeRequest(sentences)).mean
    back = [one.text for one in engine.answer(DecodeRequest(latents)).sentences]
    assert sum(map(str.__eq__, back, sentences)) > 150


def test_posterior_samples_scatter_about_the_mean_as_the_log_variance_says(engine: Engine) -> None:
    found = engine.answer(EncodeRequest((ONE,), samples=1000, seed=1))
    scaled = (found.samples - found.mean) / np.exp(0.5 * found.logvar)
    assert np.abs(scaled.mean(0)).max() < 0.15
    assert scaled.std(0) == pytest.approx(np.ones(engine.latent), rel=0.1)


def test_a_homotopy_begins_and_ends_at_the_reconstructions(engine: Engine) -> None:
    means = engine.answer(EncodeRequest((ONE, OTHER))).mean
    ends = [one.text for one in engine.answer(DecodeRequest(means)).sentences]
    for kind in ("lerp", "slerp"):
        homotopy = engine.answer(InterpolateRequest((ONE, OTHER), 6, kind))  # type: ignore[arg-type]
        assert [homotopy.sentences[0].text, homotopy.sentences[-1].text] == ends
    mixed = engine.answer(InterpolateRequest((ONE, means[1]), 6))
    assert np.array_equal(mixed.latents[[0, -1]], means)


def test_variations_are_ordered_by_distance_and_none_is_the_sentence(engine: Engine) -> None:
    still = engine.answer(ParaphraseRequest((ONE,), 3, radius=0.0))
    (same,) = still.results
    assert len({one.sentence.text for one in same.variations}) == 1
    assert [one.distance for one in same.variations] == [0.0, 0.0, 0.0]
    varied = engine.answer(ParaphraseRequest((ONE, OTHER), 40, radius=3.0, distinct=True))
    for sentence, each in zip((ONE, OTHER), varied.results, strict=True):
        texts = [one.sentence.text for one in each.variations]
        distances = [one.distance for one in each.variations]
        assert len(set(texts)) == len(texts) == len(each.latents) > 3
        assert np.array_equal(each.latents, [one.latent for one in each.variations])
        assert sentence not in texts
        assert distances == sorted(distances)
        assert np.mean(distances) == pytest.approx(3.0, rel=0.2)


def test_a_score_is_a_bound_and_tells_sense_from_nonsense(engine: Engine) -> None:
    scored = engine.answer(ScoreRequest((ONE, "Song a sing will child the."), 200, seed=1))
    assert scored.elbo_nats == pytest.approx(-(scored.reconstruction_nats + scored.kl_nats))
    assert (scored.iw_nll_nats < -scored.elbo_nats).all()
    assert scored.iw_nll_nats[1] > scored.iw_nll_nats[0] + 20


def test_a_full_engine_refuses_and_recovers(engine: Engine) -> None:
    most = engine.limits.rows_max
    long = engine.submit(ScoreRequest((ONE,) * 40, 100))
    with pytest.raises(BusyError, match=rf"rows of at most {most} are waiting and 200 more"):
        engine.submit(ScoreRequest((ONE, OTHER), 100))
    long.cancel()
    assert answer_fields(engine, SampleRequest(1, seed=1))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (EncodeRequest(()), "sentences: must be 1 to 1024 sentences, got 0"),
        (
            EncodeRequest((ONE, "  ")),
            "sentences[1]: must not be empty; send at least one character",
        ),
        (EncodeRequest(("x" * 1001,)), "sentences[0]: must be at most 1000 characters, got 1001"),
        (EncodeRequest(("\x07",)), "sentences[0]: holds control characters only"),
        (EncodeRequest(("qx" * 90,)), "sentences[0]: must be at most 128 tokens, got 180"),
        (EncodeRequest((ONE,), samples=1025), "sample_count: must be 0 to 1024, got 1025"),
        (EncodeRequest((ONE,), seed=2**64), "seed: must be 0 to 18446744073709551615, got"),
        (DecodeRequest(np.zeros((1, 3), np.float32)), "latents: must have 16 columns, got 3"),
        (DecodeRequest(np.full((2, 16), np.nan)), "latents[0]: values must be finite, got NaN"),
        (DecodeRequest(np.full((1, 16), 2e4)), "latents[0]: values must be -10000 to 10000"),
        (SampleRequest(0), "count: must be 1 to 1024, got 0"),
        (SampleRequest(1, scale=float("nan")), "scale: must be 0.0 to 10.0, got nan"),
        (SampleRequest(1, options=Options(11.0)), "temperature: must be 0.0 to 10.0, got 11.0"),
        (SampleRequest(1, options=Options(top_p=0.0)), "top_p: must be above 0 and at most 1, got"),
        (
            SampleRequest(1, options=Options(tokens_max=129)),
            "tokens_max: must be 0 to 128, got 129",
        ),
        (InterpolateRequest((ONE,), 5), "points: must be 2 to 64 points, got 1"),
        (InterpolateRequest((ONE, OTHER), 1), "steps: must be 2 to 64, got 1"),
        (InterpolateRequest((ONE, OTHER), 65), "steps: must be 2 to 64, got 65"),
        (InterpolateRequest((ONE, ""), 5), "points[1].sentence: must not be empty"),
        (ParaphraseRequest((ONE,), 0), "count: must be 1 to 1024, got 0"),
        (ParaphraseRequest((ONE,), 1, radius=-1.0), "radius: must be 0.0 to 10.0, got -1.0"),
        (
            ParaphraseRequest((ONE,) * 9, 1000),
            "count: times the number of sentences must be",
        ),
        (ScoreRequest((ONE,), 0), "importance_samples: must be 1 to 1000, got 0"),
    ],
)
def test_a_request_out_of_bounds_is_refused_with_field_and_limit(
    engine: Engine, request_: Request, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        engine.submit(request_).result(60)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("method", ["admit", "step"])
def test_the_engine_goes_on_after_a_bug(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where rows join or advance: the requests in it fail, no other, and nothing is left."""
    real = getattr(engine._interactive.slots, method)

    def broken(*_: Any) -> list[Any]:
        monkeypatch.setattr(engine._interactive.slots, method, real)
        raise RuntimeError("a bug")

    monkeypatch.setattr(engine._interactive.slots, method, broken)
    failing = engine.submit(SampleRequest(5, seed=1))
    with pytest.raises(RuntimeError, match="a bug"):
        failing.result(60)
    assert "a step failed" in caplog.text
    assert answer_fields(engine, SampleRequest(5, seed=1))
    assert engine.load()[:3] == (0, 0, 64)


def test_a_closed_engine_ends_what_it_took_and_takes_no_more(registry: Path) -> None:
    engine = load_engine(registry, toys.MODEL, None, ServeConfig())
    taken = engine.submit(SampleRequest(100, seed=1))
    assert engine.close(60)
    assert len(taken.result(0).result.sentences) == 100  # type: ignore[union-attr]
    with pytest.raises(BusyError, match="is closing"):
        engine.submit(SampleRequest(1))


def test_results_have_the_shapes_they_promise(engine: Engine) -> None:
    shapes = {
        EncodeRequest((ONE,) * 3, samples=2): (EncodeResult, "samples", (6, 16)),
        SampleRequest(4): (SampleResult, "latents", (4, 16)),
        InterpolateRequest((ONE, OTHER, ONE), 5): (InterpolateResult, "latents", (5, 16)),
        ScoreRequest((ONE,) * 3, 2): (ScoreResult, "iw_nll_nats", (3,)),
    }
    for request, (kind, field, shape) in shapes.items():
        result = engine.submit(request).result(60).result
        assert isinstance(result, kind)
        assert getattr(result, field).shape == shape
    varied = engine.answer(ParaphraseRequest((ONE, OTHER), 3))
    assert isinstance(varied, ParaphraseResult)
    assert [each.latents.shape for each in varied.results] == [(3, 16), (3, 16)]
