"""Figures of paths between held-out sentences: are both ends rebuilt, are the middles sentences?

The similarity of two texts is that of their bags of words, counts included (Ruzicka similarity).
One minus it is a metric, so no detour is shorter than the direct path.
"""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import sacrebleu
from scipy.stats import spearmanr

from textvae.engine.engine import Engine
from textvae.engine.operations.interpolate import InterpolateRequest, InterpolateResult
from textvae.evaluation.holdout import PATH_STEPS, draw_pairs
from textvae.evaluation.scorers import perplexity_per_word, sentence_nats
from textvae.model.network import LanguageModel
from textvae.text.tokenizer import Tokenizer

DISTINCT_MIN = 7
"""Different sentences, of the 9 between the ends, that make a path a rich one."""


class DecodedPath(NamedTuple):
    """Two sentences and the sentences decoded between them."""

    ends: tuple[str, str]
    """The original sentences."""
    sentences: list[str]
    """PATH_STEPS sentences, the ends' reconstructions first and last."""


def homotopy_figures(
    engine: Engine,
    language_model: LanguageModel,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    pairs: int,
    seed: int,
) -> dict[str, Any]:
    """Return figures of greedy sentences at 11 points of straight lines between posterior means,
    after Bowman et al. 2016 on homotopies; JSON values, or NaN where no path has different ends.

    Ends are `pairs` pairs of held-out sentences drawn by `seed`; the 9 points between are the
    middles. Raises DataError unless there are two different sentences.

    - `homotopy_end_bleu`: corpus BLEU-4 of the reconstructions of both ends.
    - `homotopy_distinct_middles`: mean number of different sentences among the middles;
      `homotopy_rich_share`: share of paths with 7 of 9 or more.
    - `homotopy_perplexity`: per word, of all middles under the language model, repeats counted;
      `_real`: of all the held-out sentences; `_ratio`: of the two.
    - Of paths whose decoded ends differ in their words, `homotopy_paths` of them: means of `order`,
      `smoothness` and `jump_share`, and `homotopy_monotonic_share`, where the overlap with the
      first end falls and with the last rises (correlations under 0 and over 0).
    """
    paths = decode_paths(engine, draw_pairs(sentences, pairs, seed))
    middles = [path.sentences[1:-1] for path in paths]
    counts = np.array([len(set(texts)) for texts in middles])
    originals = [end for path in paths for end in path.ends]
    rebuilt = [end for path in paths for end in (path.sentences[0], path.sentences[-1])]
    between = [text for texts in middles for text in texts]
    tokens_max = engine.limits.tokens_max
    perplexity, real = (
        perplexity_per_word(sentence_nats(language_model, tokenizer, texts, tokens_max), texts)
        for texts in (between, list(sentences))
    )
    end_bleu = sacrebleu.corpus_bleu(rebuilt, [originals], tokenize="none", force=True)
    return {
        "homotopy_pairs": pairs,
        "homotopy_end_bleu": float(end_bleu.score),
        "homotopy_distinct_middles": float(counts.mean()),
        "homotopy_rich_share": float((counts >= DISTINCT_MIN).mean()),
        "homotopy_perplexity": perplexity,
        "homotopy_perplexity_real": real,
        "homotopy_perplexity_ratio": perplexity / real,
        **course_figures([path.sentences for path in paths]),
    }


def decode_paths(engine: Engine, pairs: Sequence[tuple[str, str]]) -> list[DecodedPath]:
    """Decode the sentences at PATH_STEPS points between each two; InputError where the engine
    refuses."""
    # Submitted together, so that paths share the engine's steps; no more than its queue takes.
    batch = max(1, engine.limits.rows_max // PATH_STEPS)
    paths = []
    for first in range(0, len(pairs), batch):
        submitted = pairs[first : first + batch]
        futures = [engine.submit(InterpolateRequest(pair, PATH_STEPS)) for pair in submitted]
        for pair, future in zip(submitted, futures, strict=True):
            answer = future.result().result
            assert isinstance(answer, InterpolateResult), f"got {type(answer).__name__}"
            paths.append(DecodedPath(pair, [decoded.text for decoded in answer.sentences]))
    return paths


def course_figures(paths: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return means over paths of how they go from one end to the other.

    Paths whose two ends have the same words are left out; without any other every mean is NaN.
    """
    different = [path for path in paths if overlap(path[0], path[-1]) < 1]
    orders = np.array([order(path) for path in different]).reshape(-1, 2)
    monotonic = (orders[:, 0] < 0) & (orders[:, 1] > 0)
    return {
        "homotopy_paths": len(different),
        "homotopy_monotonic_share": _mean(monotonic.astype(float)),
        "homotopy_order": _mean((orders[:, 1] - orders[:, 0]) / 2),
        "homotopy_smoothness": _mean(np.array([smoothness(path) for path in different])),
        "homotopy_jump_share": _mean(np.array([jump_share(path) for path in different])),
    }


def overlap(one: str, other: str) -> float:
    """Return the words that two texts share over the words of either, counts included: 0 to 1, and
    1 for two empty texts."""
    counts = Counter(one.split()), Counter(other.split())
    either = (counts[0] | counts[1]).total()
    return (counts[0] & counts[1]).total() / either if either else 1.0


def order(path: Sequence[str]) -> tuple[float, float]:
    """Return Spearman's correlation of a middle's position with its overlap with the first
    sentence, and with the last: -1 and 1 where these fall and rise at every step.

    The ends themselves are left out, since each overlaps itself on any path. 0 where the overlap
    is the same at all middles.
    """
    positions = np.arange(1, len(path) - 1)
    found = []
    for end in (path[0], path[-1]):
        overlaps = [overlap(text, end) for text in path[1:-1]]
        same = min(overlaps) == max(overlaps)
        found.append(0.0 if same else float(spearmanr(positions, overlaps).statistic))
    return found[0], found[1]


def smoothness(path: Sequence[str]) -> float:
    """Return the distance between the ends over the length of the path, above 0 to 1 (the
    interpolation smoothness of Zhang et al. 2024, with 1 - `overlap` for word mover's distance).

    1 is a path without a detour, be it even or one jump, which `jump_share` distinguishes. The ends
    must differ.
    """
    lengths = _lengths(path)
    return (1 - overlap(path[0], path[-1])) / sum(lengths)


def jump_share(path: Sequence[str]) -> float:
    """Return the longest step over the length of the path: 0.1 for an even path of 11 points, 1 for
    a single jump. The length must not be 0."""
    lengths = _lengths(path)
    return max(lengths) / sum(lengths)


def _lengths(path: Sequence[str]) -> list[float]:
    """Return the distance between each two neighbours."""
    return [1 - overlap(one, other) for one, other in itertools.pairwise(path)]


def _mean(values: np.ndarray) -> float:
    """Return the mean, NaN of no values."""
    return float(values.mean()) if len(values) else math.nan
