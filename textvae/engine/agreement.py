"""How much a candidate agrees with what else a version writes of a sentence."""

from collections.abc import Sequence

import numpy as np

from textvae.text.ngrams import ngrams

LENGTHS = (1, 2, 3, 4)
"""Words of the n-grams that are compared."""
SMOOTHING = 0.1
"""Is added to both counts, so that sentences shorter than an n-gram compare."""


class Agreement:
    """The n-grams of several draws of one sentence, which no single draw decides.

    What most draws say is likely meant, what one of them says is likely its own mistake: the
    candidate of the most expected agreement is that of the least risk (Kumar & Byrne 2004).
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """`texts`: the draws, at least one."""
        self._counts: list[dict[tuple[str, ...], np.ndarray]] = []
        """For each length the counts of an n-gram, (draws,)."""
        self._totals: list[np.ndarray] = []
        for length in LENGTHS:
            counts: dict[tuple[str, ...], np.ndarray] = {}
            totals = np.zeros(len(texts))
            for number, text in enumerate(texts):
                for ngram, count in ngrams(text, length).items():
                    counts.setdefault(ngram, np.zeros(len(texts)))[number] = count
                    totals[number] += count
            self._counts.append(counts)
            self._totals.append(totals)

    def share(self, text: str) -> float:
        """Return the share of n-grams that a text and a draw have in common, 0 to 1: 2 |A and B| /
        (|A| + |B|) (Dice 1945), the mean over all draws and lengths."""
        shares = []
        for length, counts, totals in zip(LENGTHS, self._counts, self._totals, strict=True):
            own = ngrams(text, length)
            common = np.zeros(len(totals))
            for ngram, count in own.items():
                if ngram in counts:
                    common += np.minimum(counts[ngram], count)
            both = totals + sum(own.values())
            shares.append(np.mean((2 * common + SMOOTHING) / (both + SMOOTHING)))
        return float(np.mean(shares))
