"""Holes: places of the latent space from which no good sentence is written.

Looked for between held-out sentences and where the priors draw. Good means likely under the
version's own language model, which learned from the same text and knows no latent.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from textvae.config.evaluation import EvaluationConfig
from textvae.engine.answers import GeneratedSentence
from textvae.engine.engine import Engine
from textvae.engine.operations.decode import decode_all
from textvae.engine.operations.sample import SampleRequest
from textvae.evaluation.holdout import PATH_STEPS, draw_pairs
from textvae.evaluation.scorers import perplexity_per_word, sentence_nats
from textvae.latent.paths import path
from textvae.model.network import LanguageModel
from textvae.text.tokenizer import Tokenizer

EXAMPLES = 10
# One real sentence in a hundred is stranger than this; a written one that is has no excuse, for
# greedy sentences are likelier than real ones.
REAL_QUANTILE = 0.99


class FluencyReference(NamedTuple):
    """What written sentences are held against: real ones under the language model."""

    language_model: LanguageModel
    tokenizer: Tokenizer
    tokens_max: int
    """Longest sentence that is written, in tokens."""
    perplexity: float
    """Per word, of the real sentences."""
    token_nats_max: float
    """Nats per token, the end counted, that 99 % of the real sentences do not exceed."""


class Fluency(NamedTuple):
    """How sentences compare with real ones."""

    valid_share: float
    """Share of those that end within the token limit at no more nats per token than 99 % of the
    real sentences have."""
    perplexity_ratio: float
    """Perplexity per word over that of the real sentences; under 1, they are blander."""


def fluency_reference(
    language_model: LanguageModel,
    tokenizer: Tokenizer,
    tokens_max: int,
    sentences: Sequence[str],
    nats: np.ndarray,
) -> FluencyReference:
    """The yardstick of real sentences and their (n,) nats under the language model."""
    limit = float(np.quantile(nats / _token_counts(tokenizer, sentences), REAL_QUANTILE))
    real = perplexity_per_word(nats, sentences)
    return FluencyReference(language_model, tokenizer, tokens_max, real, limit)


def fluency(written: Sequence[GeneratedSentence], yardstick: FluencyReference) -> Fluency:
    """How these sentences compare with the real ones; there is at least one."""
    texts = [one.text for one in written]
    nats = sentence_nats(yardstick.language_model, yardstick.tokenizer, texts, yardstick.tokens_max)
    likely = nats / _token_counts(yardstick.tokenizer, texts) <= yardstick.token_nats_max
    ended = np.array([one.ended for one in written])
    ratio = perplexity_per_word(nats, texts) / yardstick.perplexity
    return Fluency(float((likely & ended).mean()), ratio)


def segment_figures(
    engine: Engine,
    sentences: Sequence[str],
    means: np.ndarray,
    yardstick: FluencyReference,
    config: EvaluationConfig,
) -> dict[str, Any]:
    """Figures of greedy sentences between held-out ones; `means` are theirs, (n, latent).

    `path_pairs` pairs drawn by the seed are joined by straight lines of 11 places (Bowman et al.
    2016). The 9 between the ends are judged: the ends are reconstructions.
    DataError unless there are two different sentences.

    - `segment_valid_share`, `segment_perplexity_ratio`: as in `Fluency`.
    - `segment_distinct_share`: mean share of different sentences among the 9 of a segment.
    """
    places = {sentence: place for place, sentence in enumerate(sentences)}
    pairs = draw_pairs(sentences, config.path_pairs, config.seed)
    ends = [means[[places[first], places[last]]] for first, last in pairs]
    between = [path(points, PATH_STEPS, "lerp").latents[1:-1] for points in ends]
    written = decode_all(engine.answer, engine.limits, np.concatenate(between))
    found = fluency(written, yardstick)
    texts = np.array([one.text for one in written], dtype=object).reshape(
        len(pairs), PATH_STEPS - 2
    )
    return {
        "path_pairs": len(pairs),
        "segment_valid_share": found.valid_share,
        "segment_perplexity_ratio": found.perplexity_ratio,
        "segment_distinct_share": float(np.mean([len(set(row)) / len(row) for row in texts])),
    }


class PriorDraws(NamedTuple):
    """What is written from draws of the priors."""

    figures: dict[str, Any]
    texts: list[str]
    """All of it, prior by prior."""


def draw_figures(
    engine: Engine, yardstick: FluencyReference, config: EvaluationConfig
) -> PriorDraws:
    """Figures of greedy sentences of `prior_draws` draws, and some of them, ending in `_standard`
    and, where the version has a fitted prior, in `_fitted`; and the sentences.

    - `draws_valid_share`, `draws_perplexity_ratio`: as in `Fluency`.
    - `distinct_share`: share of different sentences.
    """
    found: dict[str, Any] = {"prior_draws": config.prior_draws}
    everything: list[str] = []
    for prior in ("standard", "fitted") if engine.fitted_prior else ("standard",):
        written = engine.answer(
            SampleRequest(config.prior_draws, prior, seed=config.seed)
        ).sentences
        texts = [one.text for one in written]
        judged = fluency(written, yardstick)
        found[f"draws_valid_share_{prior}"] = judged.valid_share
        found[f"draws_perplexity_ratio_{prior}"] = judged.perplexity_ratio
        found[f"distinct_share_{prior}"] = len(set(texts)) / len(texts)
        found[f"samples_{prior}"] = texts[:EXAMPLES]
        everything += texts
    return PriorDraws(found, everything)


def _token_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """(n,) tokens of each text, its end counted."""
    return np.array([len(ids) + 1 for ids in tokenizer.encode(list(texts))])
