"""Figures of samples and of paths: right by hand, and healthy for a healthy model."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from tests import toys
from textvae.config.serve import ServeConfig
from textvae.corpus.toy_grammar import sample
from textvae.engine.engine import Engine
from textvae.engine.load import load_networks
from textvae.engine.operations.interpolate import InterpolateRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.start import load_engine
from textvae.errors import DataError, InputError
from textvae.evaluation.generation import (
    distinct,
    draw_samples,
    generation_figures,
    length_distance,
    self_bleu,
    surface_statistics,
    train_sample_scorer,
)
from textvae.evaluation.holdout import draw_pairs
from textvae.evaluation.interpolation import (
    course_figures,
    decode_paths,
    homotopy_figures,
    jump_share,
    order,
    overlap,
    smoothness,
)
from textvae.evaluation.scorers import ScorerConfig, perplexity_per_word, sentence_nats
from textvae.model.network import LanguageModel
from textvae.options import Options
from textvae.progress import no_progress
from textvae.text.tokenizer import Tokenizer
from textvae.version_files import tokenizer_of

TEXTS = [row.text for row in sample(1000, seed=3)]
QUICK = ScorerConfig(embed=32, hidden=64, dropout=0.0, steps=120, batch=32, learning_rate=1e-2)


@pytest.fixture(scope="module")
def engine(registry: Path) -> Iterator[Engine]:
    """An engine of the toy version that gives at most 64 samples a call, on one thread."""
    running = load_engine(registry, toys.MODEL, None, ServeConfig(count_max=64, threads=1))
    yield running
    assert running.close(30)


@pytest.fixture(scope="module")
def networks(engine: Engine) -> tuple[LanguageModel, Tokenizer]:
    """The toy version's language model and tokenizer."""
    tokenizer = tokenizer_of(engine.version.folder)
    return load_networks(engine.version)[1], tokenizer


def test_self_bleu_is_sacrebleus_and_is_100_for_one_repeated_text() -> None:
    texts = TEXTS[:60]
    streams = [[text] * 30 for text in texts[30:]]
    expected = sacrebleu.corpus_bleu(texts[:30], streams, tokenize="none", force=True).score
    assert self_bleu(texts) == pytest.approx(expected)
    assert self_bleu(["the same five words again"] * 10) == pytest.approx(100)
    assert self_bleu([f"a{n} b{n} c{n} d{n} e{n}" for n in range(10)]) < 5


def test_counts_of_texts_are_right_by_hand() -> None:
    assert [distinct(["a b a b", "a"], size) for size in (1, 2, 3, 4, 5)] == [2 / 5, 2 / 3, 1, 1, 0]
    assert length_distance(["a", "b c"], ["d", "e f"]) == 0
    assert length_distance(["a", "b c"], ["d", "e"]) == pytest.approx(0.5)
    assert length_distance(["a"], ["a b", ""]) == pytest.approx(1)
    seen = surface_statistics(["a b c d", "a b c d", "e", "f"], {"f"})
    assert (seen["distinct_share"], seen["verbatim_share"], seen["length_words"]) == (
        0.75,
        0.25,
        2.5,
    )


def test_every_sample_is_a_new_one_and_a_larger_draw_begins_with_the_smaller(
    engine: Engine,
) -> None:
    samples = draw_samples(engine, 150, "fitted", 5, no_progress)
    assert draw_samples(engine, 70, "fitted", 5, no_progress) == samples[:70]
    assert len(set(samples)) > 140
    warm = SampleRequest(64, "fitted", options=Options(temperature=1.0), seed=5)
    assert [decoded.text for decoded in engine.answer(warm).sentences] == samples[:64]
    greedy = engine.answer(SampleRequest(64, "fitted", seed=5)).sentences
    assert [decoded.text for decoded in greedy] != samples[:64]
    assert draw_samples(engine, 70, "standard", 5, no_progress) != samples[:70]


@pytest.fixture(scope="module")
def figures(engine: Engine, networks: tuple[LanguageModel, Tokenizer]) -> dict[str, Any]:
    """Of 300 samples, with a scorer that learns quickly and little."""
    corpus = toys.corpus()
    train, test = ([row.text for row in side] for side in (corpus.train, corpus.test))
    return generation_figures(engine, *networks, train, test, 300, "fitted", QUICK, 5, no_progress)


def test_a_healthy_version_samples_nearly_like_its_language_model(figures: dict[str, Any]) -> None:
    assert json.loads(json.dumps(figures)) == figures
    assert 0.9 < figures["forward_perplexity_ratio"] < 1.5
    assert 0.8 < figures["reverse_perplexity_ratio"] < 1.4
    assert 1 < figures["forward_perplexity_real"] < figures["reverse_perplexity_language_model"]
    for name in ("", "_language_model"):
        assert 0.25 < figures[f"adversarial_error{name}"] < 0.65
        assert figures[f"length_distance{name}"] < 0.25
    for name in ("", "_language_model", "_real"):
        assert figures[f"distinct_share{name}"] > 0.9
        assert 60 < figures[f"self_bleu{name}"] < 99
        assert 0 < figures[f"distinct_1{name}"] < figures[f"distinct_4{name}"] < 1
        assert 7 < figures[f"length_words{name}"] < 11
    # 18,000 of the grammar's 20,736 sentences were learned from, and none of the test side.
    assert figures["verbatim_share_real"] == 0
    assert 0.5 < figures["verbatim_share"] < 0.95


def test_figures_are_those_of_the_samples_of_their_seed(
    engine: Engine, networks: tuple[LanguageModel, Tokenizer], figures: dict[str, Any]
) -> None:
    samples = draw_samples(engine, 300, "fitted", 5, no_progress)
    words = sum(len(text.split()) for text in samples)
    nats = sentence_nats(*networks, samples, 128).sum()
    assert figures["forward_perplexity"] == pytest.approx(math.exp(nats / (words + 300)))
    assert figures["length_words"] == pytest.approx(words / 300)
    real = [row.text for row in toys.corpus().test]
    for name in ("forward_perplexity", "reverse_perplexity"):
        baseline = {"forward_perplexity": "_real", "reverse_perplexity": "_language_model"}[name]
        ratio = figures[name] / figures[f"{name}{baseline}"]
        assert figures[f"{name}_ratio"] == pytest.approx(ratio)
    scorer = train_sample_scorer(samples, networks[1], QUICK, "scorer", no_progress)
    nats_of_real = sentence_nats(scorer, networks[1], real, 128)
    assert figures["reverse_perplexity"] == pytest.approx(perplexity_per_word(nats_of_real, real))


def test_too_few_samples_or_real_sentences_are_refused(
    engine: Engine, networks: tuple[LanguageModel, Tokenizer]
) -> None:
    with pytest.raises(InputError, match="count: must be 20 or more, got 19"):
        generation_figures(engine, *networks, [], TEXTS, 19, "fitted", QUICK, 0, no_progress)
    with pytest.raises(DataError, match="2 sentences are needed, got 1"):
        generation_figures(engine, *networks, [], TEXTS[:1], 20, "fitted", QUICK, 0, no_progress)


# From "a b c d" to "e f g h", a word at a time, and what may go wrong on the way.
EVEN = ["a b c d", "e b c d", "e f c d", "e f g d", "e f g h"]
JUMP = ["a b c d", "a b c d", "a b c d", "a b c d", "e f g h"]
DETOUR = ["a b c d", "w b c d", "w x y d", "e f g d", "e f g h"]
BACK = ["a b c d", "e f g d", "e f c d", "e b c d", "e f g h"]


def test_overlap_counts_words_and_is_a_metric_turned_round() -> None:
    assert overlap("a a b", "c a a") == pytest.approx(2 / 4)
    assert (overlap("a b", "b a"), overlap("a", "b"), overlap("", ""), overlap("", "a")) == (
        1,
        0,
        1,
        0,
    )
    for one, other, third in zip(TEXTS[:300], TEXTS[300:600], TEXTS[600:900], strict=True):
        detour = 2 - overlap(one, other) - overlap(other, third)
        assert 1 - overlap(one, third) <= detour + 1e-12


def test_order_distinguishes_forwards_backwards_and_standing_still() -> None:
    assert order(EVEN) == (pytest.approx(-1), pytest.approx(1))
    assert order(BACK) == (pytest.approx(1), pytest.approx(-1))
    assert order(JUMP) == (0, 0)


def test_smoothness_falls_with_a_detour_and_jump_share_finds_the_jump() -> None:
    assert smoothness(JUMP) == pytest.approx(1)
    assert jump_share(JUMP) == pytest.approx(1)
    assert jump_share(EVEN) == pytest.approx(1 / 4)
    assert smoothness(DETOUR) < smoothness(EVEN) < 1


def test_paths_that_end_where_they_began_are_left_out() -> None:
    found = course_figures([EVEN, BACK, ["a b", "c", "d", "e", "b a"]])
    assert found["homotopy_paths"] == 2
    assert found["homotopy_monotonic_share"] == 0.5
    assert found["homotopy_order"] == pytest.approx(0)
    assert found["homotopy_jump_share"] == pytest.approx((jump_share(EVEN) + jump_share(BACK)) / 2)
    nothing = course_figures([["a b", "c", "a b"]])
    assert nothing.pop("homotopy_paths") == 0
    assert all(math.isnan(value) for value in nothing.values())


def test_pairs_are_different_sentences_chosen_by_the_seed() -> None:
    texts = [*TEXTS[:5], *TEXTS[:5]]
    pairs = draw_pairs(texts, 200, 0)
    assert len(pairs) == 200
    assert all(first != last for first, last in pairs)
    assert draw_pairs(texts, 50, 0) == pairs[:50]
    assert draw_pairs(texts, 50, 1) != pairs[:50]
    with pytest.raises(DataError, match="2 different sentences are needed, got 1"):
        draw_pairs([TEXTS[0]] * 3, 1, 0)


def test_paths_of_a_healthy_version_go_from_end_to_end(
    engine: Engine, networks: tuple[LanguageModel, Tokenizer]
) -> None:
    real = [row.text for row in toys.corpus().test[:200]]
    found = homotopy_figures(engine, *networks, real, 40, 7)
    assert json.loads(json.dumps(found)) == found
    paths = decode_paths(engine, draw_pairs(real, 40, 7))
    answer = engine.answer(InterpolateRequest(paths[3].ends, 11))
    assert [decoded.text for decoded in answer.sentences] == paths[3].sentences
    middles = [text for path in paths for text in path.sentences[1:-1]]
    assert len(middles) == 360
    by_hand = perplexity_per_word(sentence_nats(*networks, middles, 128), middles)
    assert found["homotopy_perplexity"] == pytest.approx(by_hand)
    assert found["homotopy_end_bleu"] > 80
    assert found["homotopy_perplexity_ratio"] < 2
    assert 3 < found["homotopy_distinct_middles"] <= 9
    assert found["homotopy_monotonic_share"] > 0.8
    assert found["homotopy_order"] > 0.6
    assert 0.2 < found["homotopy_smoothness"] <= 1
    assert 0.1 <= found["homotopy_jump_share"] < 0.9
