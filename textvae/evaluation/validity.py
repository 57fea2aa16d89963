"""Invalid decodes: latents whose greedy sentence is not fluent.

Measured between held-out sentences and at draws of the priors. Fluent means likely under the
version's own language model, which learned from the same text and has no latent.
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
# One real sentence in a hundred is less likely than this; greedy sentences are likelier than real
# ones, so that one below it is no chance.
REAL_QUANTILE = 0.99


class FluencyReference(NamedTuple):
    """Real sentences under the language model, to compare decoded ones with."""

    language_model: LanguageModel
    tokenizer: Tokenizer
    tokens_max: int
    """Longest sentence that is decoded, in tokens."""
    perplexity: float
    """Perplexity per word of the real sentences."""
    token_nats_max: float
    """Nats per token, the end counted, that 99 % of the real sentences do not exceed."""


class Fluency(NamedTuple):
    """Figures of sentences next to those of real ones."""

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
    """Return the reference of real sentences and their (n,) nats under the language model."""
    limit = float(np.quantile(nats / _token_counts(tokenizer, sentences), REAL_QUANTILE))
    real = perplexity_per_word(nats, sentences)
    return FluencyReference(language_model, tokenizer, tokens_max, real, limit)


def fluency(decoded: Sequence[GeneratedSentence], reference: FluencyReference) -> Fluency:
    """Compare one or more sentences with the real ones."""
    texts = [one.text for one in decoded]
    nats = sentence_nats(reference.language_model, reference.tokenizer, texts, reference.tokens_max)
    likely = nats / _token_counts(reference.tokenizer, texts) <= reference.token_nats_max
    ended = np.array([one.ended for one in decoded])
    ratio = perplexity_per_word(nats, texts) / reference.perplexity
    return Fluency(float((likely & ended).mean()), ratio)


def segment_figures(
    engine: Engine,
    sentences: Sequence[str],
    means: np.ndarray,
    reference: FluencyReference,
    config: EvaluationConfig,
) -> dict[str, Any]:
    """Return figures of greedy sentences between held-out ones; `means` are theirs, (n, latent).

    `path_pairs` pairs drawn by the seed are joined by straight lines of 11 points (Bowman et al.
    2016). The 9 between the ends are measured: the ends are reconstructions.
    Raises DataError unless there are two different sentences.

    - `segment_valid_share`, `segment_perplexity_ratio`: as in `Fluency`.
    - `segment_distinct_share`: mean share of different sentences among the 9 of a segment.
    """
    index = {sentence: row for row, sentence in enumerate(sentences)}
    pairs = draw_pairs(sentences, config.path_pairs, config.seed)
    ends = [means[[index[first], index[last]]] for first, last in pairs]
    between = [path(points, PATH_STEPS, "lerp").latents[1:-1] for points in ends]
    decoded = decode_all(engine.answer, engine.limits, np.concatenate(between))
    found = fluency(decoded, reference)
    texts = np.array([one.text for one in decoded], dtype=object).reshape(
        len(pairs), PATH_STEPS - 2
    )
    return {
        "path_pairs": len(pairs),
        "segment_valid_share": found.valid_share,
        "segment_perplexity_ratio": found.perplexity_ratio,
        "segment_distinct_share": float(np.mean([len(set(row)) / len(row) for row in texts])),
    }


class PriorDraws(NamedTuple):
    """Greedy sentences of draws of the priors, and their figures."""

    figures: dict[str, Any]
    texts: list[str]
    """All sentences, prior by prior."""


def draw_figures(
    engine: Engine, reference: FluencyReference, config: EvaluationConfig
) -> PriorDraws:
    """Decode `prior_draws` draws of each prior; names of figures end in `_standard` and, where the
    version has a fitted prior, in `_fitted`.

    - `draws_valid_share`, `draws_perplexity_ratio`: as in `Fluency`.
    - `distinct_share`: share of different sentences.
    """
    found: dict[str, Any] = {"prior_draws": config.prior_draws}
    all_texts: list[str] = []
    for prior in ("standard", "fitted") if engine.fitted_prior else ("standard",):
        decoded = engine.answer(
            SampleRequest(config.prior_draws, prior, seed=config.seed)
        ).sentences
        texts = [one.text for one in decoded]
        quality = fluency(decoded, reference)
        found[f"draws_valid_share_{prior}"] = quality.valid_share
        found[f"draws_perplexity_ratio_{prior}"] = quality.perplexity_ratio
        found[f"distinct_share_{prior}"] = len(set(texts)) / len(texts)
        found[f"samples_{prior}"] = texts[:EXAMPLES]
        all_texts += texts
    return PriorDraws(found, all_texts)


def _token_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """Return the (n,) numbers of tokens of the texts, the end counted."""
    return np.array([len(ids) + 1 for ids in tokenizer.encode(list(texts))])
