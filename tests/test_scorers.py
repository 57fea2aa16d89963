"""Scorers and classifiers of text: likelihoods, samples, training, and what they recognise."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig
from textvae.corpus.toy_grammar import sample
from textvae.errors import DataError
from textvae.evaluation.generation import train_sample_scorer
from textvae.evaluation.scorers import (
    LabelClassifier,
    ScorerConfig,
    adversarial_error,
    perplexity_per_word,
    sample_language_model,
    sentence_nats,
    train_scorer,
)
from textvae.model.network import LanguageModel
from textvae.progress import no_progress
from textvae.text.batches import batch_of
from textvae.text.tokenizer import EOS, Tokenizer, train_tokenizer

ROWS = sample(3000, seed=3)
TEXTS = [row.text for row in ROWS]
QUICK = ScorerConfig(embed=32, hidden=64, dropout=0.0, steps=120, batch=32, learning_rate=1e-2)
VOCAB = 9


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Products as small as these are slower with two, by far where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def shuffled(texts: Sequence[str]) -> list[str]:
    """The words of each text in another order: a sampler that knows words and no grammar."""
    random = np.random.default_rng(0)
    return [" ".join(random.permutation(text.split())) for text in texts]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Knows the words of the toy grammar."""
    return Tokenizer(train_tokenizer(TEXTS, TokenizerConfig(vocab=500, kind="bpe")))


def wild_model() -> LanguageModel:
    """Large initial weights, so that what comes next depends on what came before."""
    torch.manual_seed(2)
    model = LanguageModel(ModelConfig(embed=4, hidden=6, dropout=0.0), VOCAB).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(2)
        # As in the sampler: what must not be sampled has no mass.
        model.decoder.bias[list(Tokenizer.forbidden)] = -1e9
        model.decoder.bias[EOS] = 0.0
    return model


def test_a_sentence_is_sampled_as_often_as_the_language_model_says() -> None:
    """Within 5 standard deviations for the 30 commonest that ended."""
    model, count = wild_model(), 10_000
    samples = sample_language_model(model, count, 20, torch.Generator().manual_seed(1))
    ended = Counter(tuple(ids) for ids in samples if len(ids) < 20)
    common = ended.most_common(30)
    batch = batch_of([ids for ids, _ in common])
    with torch.no_grad():
        nats = model.nats(torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths), None)
    shares = np.exp(-nats.numpy().astype(float))
    found = np.array([times for _, times in common]) / count
    assert max(len(ids) for ids, _ in common) >= 3
    assert (np.abs(found - shares) < 5 * np.sqrt(shares / count)).all()


def test_a_sample_has_no_special_id_and_is_truncated_at_the_limit() -> None:
    model = wild_model()
    with torch.no_grad():
        model.decoder.bias[list(Tokenizer.forbidden)] = 1e9
    samples = sample_language_model(model, 600, 5, torch.Generator().manual_seed(1))
    assert len(samples) == 600
    assert {id_ for ids in samples for id_ in ids} <= set(range(EOS + 2, VOCAB))
    assert min(map(len, samples)) < 5 == max(map(len, samples))
    again = sample_language_model(model, 600, 5, torch.Generator().manual_seed(1))
    assert again == samples


def test_a_low_temperature_samples_the_likeliest_tokens() -> None:
    model = wild_model()
    cold, warm = (
        sample_language_model(model, 300, 20, torch.Generator().manual_seed(1), temperature)
        for temperature in (0.01, 1.0)
    )
    assert len(set(map(tuple, cold))) < 5 < len(set(map(tuple, warm)))


def test_nats_come_in_the_order_of_the_texts(tokenizer: Tokenizer) -> None:
    """Long, short and empty ones, more than a batch of them."""
    model = LanguageModel(ModelConfig(embed=8, hidden=8), tokenizer.vocab).eval()
    texts = ["", *TEXTS[:299], " ".join(TEXTS[:3]), "a"]
    nats = sentence_nats(model, tokenizer, texts, 100)
    alone = [sentence_nats(model, tokenizer, [text], 100)[0] for text in texts[::20]]
    assert nats[::20] == pytest.approx(alone, rel=1e-5)
    assert nats[0] < nats[-1] < nats[1] < nats[-2]
    assert perplexity_per_word(np.array([3.0, 5.0]), ["a b c", ""]) == pytest.approx(
        math.exp(8 / 5)
    )


def test_a_scorer_of_real_text_scores_real_text_better_than_one_of_shuffled_words(
    tokenizer: Tokenizer,
) -> None:
    """One sample in 20 chooses the weights; the same texts and seed give the same to the bit."""
    state = torch.get_rng_state()
    scorers = (
        train_sample_scorer(TEXTS[:2000], tokenizer, QUICK, "scorer", no_progress),
        train_sample_scorer(shuffled(TEXTS[:2000]), tokenizer, QUICK, "scorer", no_progress),
        train_scorer(TEXTS[100:2000], TEXTS[:100], tokenizer, QUICK),
    )
    real, broken, again = (sentence_nats(scorer, tokenizer, TEXTS[2000:], 50) for scorer in scorers)
    assert perplexity_per_word(broken, TEXTS[2000:]) > 2 * perplexity_per_word(real, TEXTS[2000:])
    assert (real == again).all()
    assert torch.equal(state, torch.get_rng_state())


def test_a_scorer_of_few_texts_does_not_memorize_them(tokenizer: Tokenizer) -> None:
    """The last weights have memorized 20 texts and score others badly; the best ones are used."""
    reports: list[tuple[Any, ...]] = []
    nats = [
        sentence_nats(
            train_scorer(
                TEXTS[:20], valid, tokenizer, QUICK, "few texts", lambda *all: reports.append(all)
            ),
            tokenizer,
            TEXTS[300:500],
            50,
        ).mean()
        for valid in (TEXTS[20:100], [])
    ]
    assert nats[0] < nats[1] - 2
    ends = reports[QUICK.steps - 1 : QUICK.steps + 1]
    assert ends == [("few texts", 120, 120), ("few texts", 1, 120)]


def test_the_label_classifier_learns_the_tense_and_no_random_label() -> None:
    labels = [row.label for row in ROWS]
    classifier = LabelClassifier(TEXTS[:2000], labels[:2000])
    assert classifier.accuracy(TEXTS[2000:], labels[2000:]) > 0.95
    assert classifier.predict(["The old king will sing a song."]) == ["future"]
    noise = [str(label) for label in np.random.default_rng(0).permutation(labels)]
    untaught = LabelClassifier(TEXTS[:2000], noise[:2000])
    assert untaught.accuracy(TEXTS[2000:], noise[2000:]) < 0.45
    with pytest.raises(DataError, match=r"at least 2 different ones are needed, got \{'past'\}"):
        LabelClassifier(TEXTS[:2], ["past", "past"])


def test_real_text_is_not_separable_from_real_text() -> None:
    """Half of 1,000 a side: 0.05 is three standard deviations. Nor from a larger set."""
    assert adversarial_error(TEXTS[:1000], TEXTS[1000:2000], 0) == pytest.approx(0.5, abs=0.05)
    assert adversarial_error(TEXTS[:2500], TEXTS[2500:], 0) == pytest.approx(0.5, abs=0.07)


def test_a_sampler_that_breaks_half_way_is_recognised_by_half_of_its_samples() -> None:
    """Whatever the order: the classifier learns from some of both halves."""
    half = [*shuffled(TEXTS[1000:1500]), *TEXTS[1500:2000]]
    assert adversarial_error(TEXTS[:1000], half, 0) == pytest.approx(0.25, abs=0.06)


def test_broken_samplers_are_recognised() -> None:
    """Words in any order, one sentence again and again, empty sentences."""
    for broken in (shuffled(TEXTS[1000:2000]), [TEXTS[0]] * 1000, [""] * 300):
        assert adversarial_error(TEXTS[:1000], broken, 0) < 0.05
    with pytest.raises(DataError, match="at least 2 sentences of each kind are needed, got 5 real"):
        adversarial_error(TEXTS[:5], TEXTS[:1], 0)
