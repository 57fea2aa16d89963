"""Paths between held-out sentences: are both ends met, and is all between them a sentence too?

Two texts are as near as their words, without order: the overlap of the two bags of words, counts
and all (Ruzicka's similarity). One minus it is a metric, so no detour is shorter than the path.
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
    """Two sentences and what the model wrote between them."""

    ends: tuple[str, str]
    """As they were given."""
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
    """Figures of greedy sentences at 11 places of straight lines between posterior means, after
    Bowman et al. 2016 on homotopies; JSON values, or NaN where no path has two different ends.

    Ends are `pairs` pairs of held-out sentences drawn by `seed`; the 9 places between are the
    middles. DataError unless there are two different sentences.

    - `homotopy_end_bleu`: corpus BLEU-4 of what both ends became with what was given.
    - `homotopy_distinct_middles`: mean number of different sentences among the middles;
      `homotopy_rich_share`: share of paths with 7 of 9 or more.
    - `homotopy_perplexity`: per word, of all middles under the language model, repeats counted;
      `_real`: of all the held-out sentences; `_ratio`: of the two.
    - Of paths whose written ends differ in their words, `homotopy_paths` of them: means of `order`,
      `smoothness` and `jump_share`, and `homotopy_monotonic_share`, where the overlap with the
      first end falls and with the last rises (correlations under 0 and over 0).
    """
    ways = decode_paths(engine, draw_pairs(sentences, pairs, seed))
    middles = [way.sentences[1:-1] for way in ways]
    counts = np.array([len(set(those)) for those in middles])
    given = [end for way in ways for end in way.ends]
    rebuilt = [end for way in ways for end in (way.sentences[0], way.sentences[-1])]
    between = [text for those in middles for text in those]
    tokens_max = engine.limits.tokens_max
    perplexity, real = (
        perplexity_per_word(sentence_nats(language_model, tokenizer, texts, tokens_max), texts)
        for texts in (between, list(sentences))
    )
    end_bleu = sacrebleu.corpus_bleu(rebuilt, [given], tokenize="none", force=True)
    return {
        "homotopy_pairs": pairs,
        "homotopy_end_bleu": float(end_bleu.score),
        "homotopy_distinct_middles": float(counts.mean()),
        "homotopy_rich_share": float((counts >= DISTINCT_MIN).mean()),
        "homotopy_perplexity": perplexity,
        "homotopy_perplexity_real": real,
        "homotopy_perplexity_ratio": perplexity / real,
        **course_figures([way.sentences for way in ways]),
    }


def decode_paths(engine: Engine, pairs: Sequence[tuple[str, str]]) -> list[DecodedPath]:
    """The sentences at PATH_STEPS places between each two; InputError where the engine refuses."""
    # Asked together, so that paths share the engine's steps; no more than it lets wait.
    crowd = max(1, engine.limits.rows_max // PATH_STEPS)
    ways = []
    for first in range(0, len(pairs), crowd):
        asked = pairs[first : first + crowd]
        futures = [engine.submit(InterpolateRequest(pair, PATH_STEPS)) for pair in asked]
        for pair, future in zip(asked, futures, strict=True):
            answer = future.result().result
            assert isinstance(answer, InterpolateResult), f"got {type(answer).__name__}"
            ways.append(DecodedPath(pair, [written.text for written in answer.sentences]))
    return ways


def course_figures(paths: Sequence[Sequence[str]]) -> dict[str, float]:
    """How paths of sentences go from one end to the other; those that end where they began say
    nothing and are left out, and where none is left every mean is NaN."""
    going = [path for path in paths if overlap(path[0], path[-1]) < 1]
    orders = np.array([order(path) for path in going]).reshape(-1, 2)
    monotonic = (orders[:, 0] < 0) & (orders[:, 1] > 0)
    return {
        "homotopy_paths": len(going),
        "homotopy_monotonic_share": _mean(monotonic.astype(float)),
        "homotopy_order": _mean((orders[:, 1] - orders[:, 0]) / 2),
        "homotopy_smoothness": _mean(np.array([smoothness(path) for path in going])),
        "homotopy_jump_share": _mean(np.array([jump_share(path) for path in going])),
    }


def overlap(one: str, other: str) -> float:
    """Words that two texts share over words of either, counts and all, 0 to 1; 1 for two empty
    ones."""
    counts = Counter(one.split()), Counter(other.split())
    either = (counts[0] | counts[1]).total()
    return (counts[0] & counts[1]).total() / either if either else 1.0


def order(path: Sequence[str]) -> tuple[float, float]:
    """Spearman's correlation of a middle's place with its overlap with the first sentence, and
    with the last: -1 and 1 where the one fades and the other comes at every step.

    The ends themselves are left out, for each is all of itself on any path. 0 where the overlap
    is the same at all middles.
    """
    places = np.arange(1, len(path) - 1)
    found = []
    for end in (path[0], path[-1]):
        near = [overlap(text, end) for text in path[1:-1]]
        same = min(near) == max(near)
        found.append(0.0 if same else float(spearmanr(places, near).statistic))
    return found[0], found[1]


def smoothness(path: Sequence[str]) -> float:
    """Distance between the ends over the length of the path, above 0 to 1 (the interpolation
    smoothness of Zhang et al. 2024, with 1 - `overlap` for their word mover's distance).

    1 is a path without a detour, be it even or one jump: read it beside `jump_share`. The ends
    must differ.
    """
    lengths = _lengths(path)
    return (1 - overlap(path[0], path[-1])) / sum(lengths)


def jump_share(path: Sequence[str]) -> float:
    """The longest step over the length of the path: 0.1 is an even path of 11 places, 1 a single
    jump. Something must change on the way."""
    lengths = _lengths(path)
    return max(lengths) / sum(lengths)


def _lengths(path: Sequence[str]) -> list[float]:
    """The distance between each two neighbours."""
    return [1 - overlap(one, other) for one, other in itertools.pairwise(path)]


def _mean(values: np.ndarray) -> float:
    """The mean, NaN of nothing."""
    return float(values.mean()) if len(values) else math.nan
