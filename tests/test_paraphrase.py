"""Paraphrases of a version that has learned from siblings, and of one that has not."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import toys
from tests.answers import answer_fields, beside_others, fields_of
from tests.rephrasing import grouped, turned
from tests.serving import Server, serving
from tests.stages import idle
from textvae.client import Client
from textvae.config.serve import ServeConfig
from textvae.engine.candidates import score
from textvae.engine.engine import Engine
from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest, ParaphraseResult, Variations
from textvae.engine.start import load_engine
from textvae.errors import InputError
from textvae.options import Options
from textvae.store.versions import Version
from textvae.text.sentence import letters

SENTENCES = tuple(row.text for row in grouped().test[:24])
DRAWING = Options(temperature=0.9, top_k=40)
SLOTS = 64


@pytest.fixture(scope="module")
def engine(rephrasing_version: tuple[Path, Version]) -> Iterator[Engine]:
    config = ServeConfig(threads=1, waiting_rows_max=4096, slots=SLOTS)
    with load_engine(rephrasing_version[0], toys.MODEL, None, config) as running:
        yield running


@pytest.fixture(scope="module")
def plain(registry: Path) -> Iterator[Engine]:
    with load_engine(registry, toys.MODEL, None, ServeConfig(threads=1)) as running:
        yield running


@pytest.fixture(scope="module")
def server(rephrasing_version: tuple[Path, Version]) -> Iterator[Server]:
    with serving(rephrasing_version[0]) as running:
        yield running


def texts(variations: Variations) -> list[str]:
    return [one.sentence.text for one in variations.variations]


def judged(result: ParaphraseResult, axis: str) -> list[float]:
    found = []
    for each in result.results:
        for one in each.variations:
            assert one.axes is not None
            found.append(float(getattr(one.axes, axis)))
    return found


def test_a_version_of_siblings_rephrases_and_another_draws_unless_a_method_is_named(
    engine: Engine, plain: Engine
) -> None:
    ask = ParaphraseRequest(SENTENCES[:2], 2, seed=1)
    assert engine.answer(ask).method == "rephrase"
    drawn = plain.answer(ask)
    assert drawn.method == "draw"
    assert {one.axes for each in drawn.results for one in each.variations} == {None}
    named = ParaphraseRequest(SENTENCES[:2], 2, method="draw", seed=1)
    assert engine.answer(named).method == "draw"
    assert answer_fields(plain, named) == answer_fields(plain, ask)
    same = ParaphraseRequest(SENTENCES[:2], 2, method="rephrase", candidates=4, seed=1)
    assert answer_fields(engine, same) == answer_fields(engine, ask)


def test_a_version_without_siblings_refuses_to_rephrase_and_says_how_it_learns(
    plain: Engine,
) -> None:
    with pytest.raises(InputError) as caught:
        plain.answer(ParaphraseRequest(SENTENCES[:1], 1, method="rephrase"))
    assert str(caught.value).startswith("method: must be draw, for this version learned from no")
    assert "training.sibling_share, and data.group_column or data.label_is_group" in str(
        caught.value
    )


def test_a_rephrasing_is_the_other_form_and_a_draw_the_sentence_itself(engine: Engine) -> None:
    found = {
        method: engine.answer(
            ParaphraseRequest(SENTENCES, 1, radius=0.0, method=method, candidates=1)
        )
        for method in ("rephrase", "draw")
    }
    rephrased, drawn = ([texts(each)[0] for each in one.results] for one in found.values())
    assert sum(map(str.__eq__, rephrased, map(turned, SENTENCES))) >= 20
    assert sum(map(str.__eq__, drawn, SENTENCES)) >= 20


@pytest.mark.parametrize("method", ["rephrase", "draw"])
@pytest.mark.parametrize("radius", [0.0, 1.0, 3.0])
def test_no_variation_is_the_sentence_or_another_and_what_is_missing_has_a_reason(
    method: Any, radius: float, engine: Engine
) -> None:
    request = ParaphraseRequest(SENTENCES, 4, radius, method=method, candidates=3, seed=2)
    for sentence, each in zip(SENTENCES, engine.answer(request).results, strict=True):
        found = [letters(text) for text in texts(each)]
        assert len({letters(sentence), *found}) == 1 + len(found)
        assert len(found) + len(each.missing) == 4
        assert set(each.missing) <= {"copy", "repeat"}
        assert each.latents.shape == (len(found), 16)
        assert np.array_equal(each.latents, [one.latent for one in each.variations] or each.latents)
        assert each.source_fluency > 0
        if radius == 0:  # all candidates are one sentence
            assert len(found) <= 1


def test_the_first_candidate_is_decoded_from_the_posterior_mean(engine: Engine) -> None:
    """Of twelve candidates at a large radius one lies at distance 0, and is what the mean says."""
    request = ParaphraseRequest(SENTENCES, 4, 4.0, method="draw", candidates=3, closeness=1.0)
    means = engine.answer(EncodeRequest(SENTENCES)).mean
    rebuilt = [one.text for one in engine.answer(DecodeRequest(means)).sentences]
    count = 0
    results = engine.answer(request).results
    for sentence, each, mean, text in zip(SENTENCES, results, means, rebuilt, strict=True):
        nearest = min(each.variations, key=lambda one: one.distance)
        assert all(one.distance > 1 for one in each.variations if one is not nearest)
        if nearest.distance == 0:
            assert np.array_equal(nearest.latent, mean)
            assert nearest.sentence.text == text != sentence
            count += 1
        else:
            assert letters(text) == letters(sentence) or len(each.variations) == 4
    rephrased = engine.answer(ParaphraseRequest(SENTENCES, 4, 4.0, candidates=3, closeness=1.0))
    at_mean = [
        one.sentence.text
        for each in rephrased.results
        for one in each.variations
        if not one.distance
    ]
    assert count + len(at_mean) > 20
    assert sum(text in set(map(turned, SENTENCES)) for text in at_mean) > 0.8 * len(at_mean)


def test_variations_keep_the_bounds_and_the_others_are_missing_for_them(engine: Engine) -> None:
    """Each bound is near the best of its axis, so that most candidates are beyond it."""
    ask: dict[str, Any] = {"radius": 2.0, "options": DRAWING, "candidates": 2, "seed": 3}
    free = engine.answer(ParaphraseRequest(SENTENCES, 4, **ask))
    for bound, axis, sign, reason in (
        ("adequacy_min", "adequacy", 1, "not-adequate"),
        ("fluency_max", "fluency", -1, "not-fluent"),
        ("novelty_min", "novelty", 1, "not-novel"),
    ):
        limit = float(np.quantile(judged(free, axis), 0.5 + 0.45 * sign))
        assert min(sign * value for value in judged(free, axis)) < sign * limit
        held = engine.answer(ParaphraseRequest(SENTENCES, 4, **ask, **{bound: limit}))
        assert min(sign * value for value in judged(held, axis)) >= sign * limit
        assert reason in {word for each in held.results for word in each.missing}
        for each in held.results:
            assert len(each.variations) + len(each.missing) == 4


def test_closeness_1_is_at_least_as_adequate_and_0_at_least_as_novel(engine: Engine) -> None:
    faithful, middle, free = (
        engine.answer(
            ParaphraseRequest(SENTENCES, 2, 2.0, candidates=8, closeness=closeness, seed=5)
        )
        for closeness in (1.0, 0.5, 0.0)
    )
    adequate = [
        6 * np.mean(judged(one, "adequacy")) + 16 * np.mean(judged(one, "similarity"))
        for one in (faithful, middle, free)
    ]
    novel = [np.mean(judged(one, "novelty")) for one in (faithful, middle, free)]
    assert adequate[0] >= adequate[1] >= adequate[2] < adequate[0]
    assert novel[0] <= novel[1] <= novel[2] > novel[0]


def test_the_best_variation_comes_first_and_one_candidate_is_the_nearest_draw(
    engine: Engine,
) -> None:
    for each in engine.answer(ParaphraseRequest(SENTENCES, 3, closeness=0.8, seed=6)).results:
        values = [score(one.axes, 0.8) for one in each.variations if one.axes]
        assert max(values, default=0) == (values or [0])[0]
    single = engine.answer(ParaphraseRequest(SENTENCES, 5, candidates=1, seed=6))
    assert single.method == "rephrase"
    for each in single.results:
        distances = [one.distance for one in each.variations]
        assert (len(distances), distances) == (5, sorted(distances))
        assert (each.missing, each.source_fluency) == ([], 0.0)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"method": "draw", "candidates": 3, "options": DRAWING},
        {"options": Options(beam=3, alternatives=2), "candidates": 2, "closeness": 0.1},
        {"options": DRAWING, "candidates": 1, "distinct": True},
    ],
    ids=["rephrase", "draw", "beam", "not judged"],
)
def test_a_request_has_the_same_bytes_alone_and_beside_32_others(
    how: dict[str, Any], engine: Engine
) -> None:
    request = ParaphraseRequest(SENTENCES[:3], 3, 1.5, seed=7, **how)
    shared = beside_others(engine, request)
    assert shared.batch_rows > 32, "the request ran alone; the test shows nothing"
    assert fields_of(shared) == answer_fields(engine, request)


def test_a_request_cut_in_parts_is_the_request(engine: Engine) -> None:
    ask: dict[str, Any] = {"options": DRAWING, "seed": 8}
    whole = engine.answer(ParaphraseRequest(SENTENCES[:6], 2, **ask)).results
    rest = engine.answer(ParaphraseRequest(SENTENCES[4:6], 2, first_index=4, **ask)).results
    assert list(map(texts, rest)) == list(map(texts, whole[4:]))
    assert [each.latents.tolist() for each in rest] == [each.latents.tolist() for each in whole[4:]]


CHOICES = [*itertools.product(["auto", "rephrase", "draw"], [0, 1, 5]), ("search", 5)]


@pytest.mark.parametrize(("method", "candidates"), CHOICES)
def test_the_service_answers_what_the_engine_does(
    method: Any, candidates: int, engine: Engine, server: Server
) -> None:
    sentences, how = SENTENCES[:3], {"method": method, "candidates": candidates, "closeness": 0.3}
    bounds = {"adequacy_min": 0.1, "fluency_max": 5.0, "novelty_min": 0.05}
    is_judged = candidates > 1 or (candidates == 0 and method != "draw")
    how |= bounds if is_judged else {}
    expected = engine.answer(ParaphraseRequest(sentences, 3, options=DRAWING, seed=9, **how))
    with Client(server.address) as client:
        found = client.paraphrase(sentences, 3, options=DRAWING, seed=9, **how)
    assert found.method == expected.method == ("rephrase" if method == "auto" else method)
    for ours, wanted in zip(found.variations, expected.results, strict=True):
        assert [one.text for one in ours.sentences] == texts(wanted)
        assert ours.distances == [one.distance for one in wanted.variations]
        assert np.array_equal(ours.latents.values, wanted.latents)
        assert ours.axes == [one.axes for one in wanted.variations if one.axes]
        assert len(ours.axes) == (len(ours.sentences) if is_judged else 0)
        assert ours.missing == [reason.replace("-", "_") for reason in wanted.missing]
        assert ours.source_fluency == wanted.source_fluency


def test_more_rows_than_the_limit_are_refused_by_what_the_version_needs(
    engine: Engine, plain: Engine
) -> None:
    most = engine.limits.rows_max
    crowd = SENTENCES[:2] * (most // 16)
    message = rf"^count: times the number of sentences and 4 candidates must be at most {most}, got"
    with pytest.raises(InputError, match=message):
        engine.answer(ParaphraseRequest(crowd, 3))
    with pytest.raises(InputError, match=r"and 64 candidates must be at most .* fewer candidates$"):
        plain.answer(ParaphraseRequest(crowd, 3, candidates=64))
    few = Options(tokens_max=1)
    assert len(plain.answer(ParaphraseRequest(crowd, 3, options=few)).results) == len(crowd)


@pytest.mark.parametrize(
    "bound", [{"adequacy_min": 0.1}, {"fluency_max": 2.0}, {"novelty_min": 0.1}]
)
def test_bounds_of_what_is_not_judged_are_refused_with_the_fix(
    bound: dict[str, float], engine: Engine, plain: Engine
) -> None:
    (field,) = bound
    for running, candidates in ((engine, 1), (plain, 0)):
        request = ParaphraseRequest(SENTENCES[:1], 2, candidates=candidates, **bound)
        with pytest.raises(InputError, match=rf"^{field}: .*; ask for 2 candidates or more"):
            running.answer(request)


def test_a_cancelled_request_frees_its_rows_whatever_it_waits_for(engine: Engine) -> None:
    """Its candidates, or the rows that judge them, which are more."""
    idle(engine, SLOTS)
    long = ParaphraseRequest(SENTENCES, 4, 3.0, options=Options(temperature=3.0), candidates=4)
    for rows in (1, long.rows + 1):
        waiting = engine.submit(long)
        while not waiting.done() and sum(engine.load()[:2]) < rows:
            time.sleep(0.001)
        assert waiting.cancel(), "it was answered before it could be cancelled"
        idle(engine, SLOTS)
    assert answer_fields(engine, ParaphraseRequest(SENTENCES[:1], 1, seed=1))
