"""Drift under the champion: whether its likelihood of the newest text is another than before.

By the tests of `textvae.corpus.data_drift`, on numbers that the gate has computed anyway. It
decides nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from textvae.corpus.data_drift import P_MAX, compare_samples
from textvae.store.versions import Version
from textvae.text.tokenizer import Tokenizer
from textvae.version_files import tokenizer_of


class ScoredSentences(NamedTuple):
    """Held-out sentences, and a version's ELBO of each in nats."""

    sentences: Sequence[str]
    elbo_nats: Sequence[float]


def drift_under_model(
    champion: Version, holdout: ScoredSentences, newest: ScoredSentences | None
) -> dict[str, Any]:
    """Compare the newest sentences with the others of the holdout, under a version.

    - `nats_per_token`: the negative ELBO over the tokens, the end counted, so that it does not grow
      with the length. (The KL counts once per sentence, so that much shorter ones cost more nats
      per token.)
    - `byte_share`: share of tokens that are bytes of characters that the vocabulary lacks.

    Each is a result of `compare_samples`. `said` is why there is no comparison, else empty: a young
    holdout has the newest sentences too, and those are never on both sides.
    """
    if newest is None:
        return {"said": "the newest text has no held-out sentence"}
    newest_texts = set(newest.sentences)
    pairs = zip(holdout.sentences, holdout.elbo_nats, strict=True)
    earlier = [pair for pair in pairs if pair[0] not in newest_texts]
    if not np.isfinite([*holdout.elbo_nats, *newest.elbo_nats]).all():
        return {"said": "an ELBO of the champion is not finite"}
    if len(earlier) < 2:
        return {"said": "there are not two earlier sentences to compare the newest with"}
    tokenizer = tokenizer_of(champion.folder)
    before = _figures(tokenizer, ScoredSentences(*zip(*earlier, strict=True)))
    after = _figures(tokenizer, newest)
    found = {name: compare_samples(before[name], after[name]) for name in before}
    counts = {"before": len(earlier), "now": len(newest.sentences)}
    return {"said": "", "sentences": counts, **found}


def model_drift_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the result of `drift_under_model` in words."""
    if found["said"]:
        return [f"not compared: {found['said']}"]
    nats, byte_share = found["nats_per_token"], found["byte_share"]
    means = [[test[when]["mean"] for when in ("now", "before")] for test in (nats, byte_share)]
    lines = []
    if nats["drifted"]:
        word = "stranger" if means[0][0] > means[0][1] else "more familiar"
        change = "mean {:.2f} against {:.2f} nats a token".format(*means[0])
        lines.append(f"the newest text is {word} to it: {change}, {_test_words(nats)}")
    if byte_share["drifted"]:
        word = "more" if means[1][0] > means[1][1] else "fewer"
        change = "mean {:.1%} against {:.1%} of the tokens".format(*means[1])
        lines.append(f"{word} characters are unknown to it: {change}, {_test_words(byte_share)}")
    return lines or [
        "none: the newest text has mean {:.2f} against {:.2f} nats a token".format(*means[0])
    ]


def _test_words(test: Mapping[str, Any]) -> str:
    """Return statistic and level of a test, as in `KS 0.31, p < 0.001`."""
    return f"KS {test['ks']:.2f}, p < {P_MAX}"


def _figures(tokenizer: Tokenizer, scored: ScoredSentences) -> dict[str, np.ndarray]:
    """Return both figures of each sentence."""
    ids = tokenizer.encode(list(scored.sentences))
    tokens = np.array([len(one) + 1 for one in ids])
    return {
        "nats_per_token": -np.asarray(scored.elbo_nats) / tokens,
        "byte_share": np.array(tokenizer.byte_counts(ids)) / tokens,
    }
