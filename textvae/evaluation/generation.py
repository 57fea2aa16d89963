"""Figures of the sentences that a version samples, next to its language model and real text.

Each figure has the same figure of as many samples of the version's language model
(`_language_model`) and of real held-out text (`_real`) next to it, for none means much alone.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
import torch
from sacrebleu.metrics.bleu import BLEU

from textvae.engine.engine import Engine
from textvae.engine.operations.sample import SampleRequest
from textvae.errors import DataError, InputError
from textvae.evaluation.scorers import (
    ScorerConfig,
    adversarial_error,
    perplexity_per_word,
    sample_language_model,
    sentence_nats,
    train_scorer,
)
from textvae.model.network import LanguageModel
from textvae.options import Options
from textvae.progress import ProgressCallback
from textvae.text.tokenizer import Tokenizer

Prior = Literal["standard", "fitted"]

COUNT_MIN = 20
SAMPLES_PER_VALID = 20
"""One in so many samples is a validation text of the scorer and is not learned from."""
SELF_BLEU_SENTENCES = 500
NGRAMS = (1, 2, 3, 4)


def generation_figures(
    engine: Engine,
    language_model: LanguageModel,
    tokenizer: Tokenizer,
    train_texts: Collection[str],
    test_texts: Sequence[str],
    count: int,
    prior: Prior,
    scorer: ScorerConfig,
    seed: int,
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """Return figures of `count` samples at temperature 1 from the prior; JSON values.

    The language model and the tokenizer are the version's own. Raises InputError for a `count`
    under 20 and for a fitted prior that does not exist, DataError for fewer than 2 test texts.

    - `forward_perplexity`: per word, under the language model; `_ratio` is to real test text's.
      Under 1, samples are blander than real text, over 1 they are less fluent.
    - `reverse_perplexity`: per word, of the test text under a scorer that learned from the samples
      (see `train_sample_scorer`); `_ratio` is to that of a scorer that learned from the language
      model's.
    - `adversarial_error`: of a classifier that separates samples from test text; 0.5 is best.
    - `length_distance`: total variation, 0 to 1, of the histograms of lengths in words; some of it
      is chance, about as much as the language model's.
    - `self_bleu`, `distinct_*`, `distinct_share`, `verbatim_share`, `length_words`: see
      `surface_statistics`; of equally many texts of each kind, `look_sentences`.
    """
    if count < COUNT_MIN:
        raise InputError("count", f"must be {COUNT_MIN} or more, got {count}")
    if len(test_texts) < 2:
        raise DataError(f"held-out text: 2 sentences are needed, got {len(test_texts)}")
    generator = torch.Generator().manual_seed(seed)
    samples = draw_samples(engine, count, prior, seed, on_progress)
    on_progress("samples of the language model", 0, 1)
    baseline = tokenizer.decode(
        sample_language_model(language_model, count, engine.limits.tokens_max, generator)
    )
    on_progress("samples of the language model", 1, 1)
    arms = {"": samples, "_language_model": baseline, "_real": list(test_texts)}
    found: dict[str, Any] = {
        "generation_sentences": count,
        "generation_prior": prior,
        "judge": dataclasses.asdict(scorer),
    }
    found |= _perplexities(
        language_model, tokenizer, arms, scorer, engine.limits.tokens_max, on_progress
    )
    return found | _surface(arms, frozenset(train_texts), seed)


def draw_samples(
    engine: Engine, count: int, prior: Prior, seed: int, on_progress: ProgressCallback
) -> list[str]:
    """Draw `count` samples at temperature 1; a larger draw begins with the smaller one."""
    step = engine.limits.count_max
    texts: list[str] = []
    for first in range(0, count, step):
        on_progress("samples", first, count)
        request = SampleRequest(
            min(step, count - first),
            prior,
            options=Options(temperature=1.0),
            seed=seed,
            first_index=first,
        )
        texts += [sample.text for sample in engine.answer(request).sentences]
    on_progress("samples", count, count)
    return texts


def _surface(arms: dict[str, list[str]], known: frozenset[str], seed: int) -> dict[str, float]:
    """Return the figures that need no language model."""
    found: dict[str, float] = {}
    real = arms["_real"]
    for name in ("", "_language_model"):
        found[f"adversarial_error{name}"] = adversarial_error(real, arms[name], seed)
        found[f"length_distance{name}"] = length_distance(real, arms[name])
    # As many texts of each kind, for these figures change with the number of texts.
    count = found["look_sentences"] = min(map(len, arms.values()))
    for name, texts in arms.items():
        chosen = np.random.default_rng(seed).permutation(len(texts))[:count]
        statistics = surface_statistics([texts[index] for index in chosen], known)
        found |= {f"{figure}{name}": value for figure, value in statistics.items()}
    return found


def _perplexities(
    language_model: LanguageModel,
    tokenizer: Tokenizer,
    arms: dict[str, list[str]],
    scorer: ScorerConfig,
    tokens_max: int,
    on_progress: ProgressCallback,
) -> dict[str, float]:
    """Return forward and reverse perplexities per word and their ratios."""
    found = {}
    for name, texts in arms.items():
        nats = sentence_nats(language_model, tokenizer, texts, tokens_max)
        found[f"forward_perplexity{name}"] = perplexity_per_word(nats, texts)
    real = arms["_real"]
    for name, whose in (("", "samples"), ("_language_model", "the language model")):
        what = f"scorer of {whose}"
        model = train_sample_scorer(arms[name], tokenizer, scorer, what, on_progress)
        nats = sentence_nats(model, tokenizer, real, tokens_max)
        found[f"reverse_perplexity{name}"] = perplexity_per_word(nats, real)
    for figure, baseline in (("forward", "_real"), ("reverse", "_language_model")):
        ratio = found[f"{figure}_perplexity"] / found[f"{figure}_perplexity{baseline}"]
        found[f"{figure}_perplexity_ratio"] = ratio
    return found


def train_sample_scorer(
    samples: Sequence[str],
    tokenizer: Tokenizer,
    config: ScorerConfig,
    what: str,
    on_progress: ProgressCallback,
) -> LanguageModel:
    """Train a language model on samples alone.

    One sample in 20 is for validation: real text stays unseen until it is scored, and a sampler
    that repeats itself cannot hide it.
    """
    valid = max(1, len(samples) // SAMPLES_PER_VALID)
    return train_scorer(samples[valid:], samples[:valid], tokenizer, config, what, on_progress)


def surface_statistics(texts: Sequence[str], known: Collection[str]) -> dict[str, float]:
    """Return what can be counted of texts in random order; `known` are those of the training side.

    `distinct_share`: of different texts; `verbatim_share`: of texts that are in `known`;
    `length_words`: mean; `distinct_1` to `_4` and `self_bleu` as in the functions of these names.
    """
    found = {f"distinct_{size}": distinct(texts, size) for size in NGRAMS}
    found["distinct_share"] = len(set(texts)) / len(texts)
    found["verbatim_share"] = sum(text in known for text in texts) / len(texts)
    found["length_words"] = sum(len(text.split()) for text in texts) / len(texts)
    found["self_bleu"] = self_bleu(texts)
    return found


def distinct(texts: Sequence[str], size: int) -> float:
    """Return the different word n-grams of this size over all of them (distinct-n of Li et al.
    2016), 0 where there are none. More texts lower it, so compare equally many."""
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = text.split()
        grams.update(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
    return len(grams) / grams.total() if grams else 0.0


def self_bleu(texts: Sequence[str]) -> float:
    """Return the corpus BLEU-4, 0 to 100, of texts with other texts as references; lower is more
    diverse.

    After Zhu et al. 2018 (Texygen), on words split at white space, smoothed as sacrebleu does by
    default. Hypotheses are the first half of the texts and references the second, at most 500 of
    each; more references raise it, so compare equally many. `texts` are two or more in random
    order.
    """
    assert len(texts) >= 2, f"self-BLEU needs 2 texts, got {len(texts)}"
    half = min(len(texts) // 2, SELF_BLEU_SENTENCES)
    # The references' n-grams are counted once and not, as corpus_bleu would, for every hypothesis.
    metric = BLEU(tokenize="none", force=True, references=[[text] for text in texts[-half:]])
    scores = [metric.corpus_score([text], None) for text in texts[:half]]
    total = BLEU.compute_bleu(
        correct=[sum(column) for column in zip(*(one.counts for one in scores), strict=True)],
        total=[sum(column) for column in zip(*(one.totals for one in scores), strict=True)],
        sys_len=sum(one.sys_len for one in scores),
        ref_len=sum(one.ref_len for one in scores),
        smooth_method="exp",
    )
    return float(total.score)


def length_distance(texts: Sequence[str], others: Sequence[str]) -> float:
    """Return the total variation, 0 to 1, between two histograms of lengths in words: half the sum
    of absolute differences of shares."""
    counts = [Counter(len(text.split()) for text in side) for side in (texts, others)]
    lengths = set().union(*counts)
    shares = [np.array([count[length] for length in lengths]) / count.total() for count in counts]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())
