"""Text as a source of batches; a large corpus is tokenised when batches need it."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textvae.text.batches import Ints, TokenSource, TokenStore, store_tokens
from textvae.text.sentence import Sentence
from textvae.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

SAMPLED_MAX = 10_000
# Tokenised in a second, and then seen in many epochs; more are tokenised anew each time, at 5 us a
# sentence, a thousandth of its step on a CPU. Ten million would take a minute before the first.
STORED_MAX = 200_000


def token_source(
    sentences: Sequence[Sentence],
    tokenizer: Tokenizer,
    tokens_max: int,
    stored_max: int = STORED_MAX,
) -> TokenSource:
    """Return the tokens of the sentences, each cut after `tokens_max` ids (without BOS and EOS).

    More than `stored_max` sentences are tokenised anew whenever they are taken. The log says which
    share of them is cut.
    """
    text = TokenizedText(sentences, tokenizer, tokens_max)
    cut = token_lengths(text).cut_share
    if cut:
        log.warning("about %.2g %% of the sentences are cut at %d tokens", 100 * cut, tokens_max)
    if text.sentences > stored_max:
        return text
    return text.take(np.arange(text.sentences))


class TokenizedText:
    """A TokenSource of sentences that are tokenised each time they are taken."""

    def __init__(
        self, sentences: Sequence[Sentence], tokenizer: Tokenizer, tokens_max: int
    ) -> None:
        """`tokens_max`: ids of a sentence before it is cut, BOS and EOS not counted."""
        self._rows = sentences
        self._tokenizer = tokenizer
        self.tokens_max = tokens_max

    @property
    def sentences(self) -> int:
        """Return the number of sentences."""
        return len(self._rows)

    def take(self, rows: Ints) -> TokenStore:
        """Return the tokens of these rows, in this order, cut at `tokens_max`."""
        return store_tokens(self.encoded(rows), self.tokens_max).store

    def encoded(self, rows: Ints) -> list[list[int]]:
        """Return the ids of these rows, in this order, uncut."""
        return self._tokenizer.encode([self._rows[row].text for row in rows])


class TokenLengths(NamedTuple):
    """Tokens of a sentence, uncut, without BOS and EOS, from some thousands across a text."""

    mean: float
    p50: float
    p95: float
    max: float
    tokens_max: int
    cut_share: float
    """Share of the sentences that are longer than `tokens_max` and lose their end, 0 to 1."""

    @property
    def line(self) -> str:
        """Return the lengths as a sentence."""
        return (
            f"{self.mean:g} tokens a sentence, median {self.p50:g}, 95 % up to {self.p95:g}, "
            f"longest {self.max:g}; {self.cut_share:.2%} are cut at {self.tokens_max}"
        )


def token_lengths(text: TokenizedText) -> TokenLengths:
    """Estimate how long the sentences are, and which share of them is cut."""
    rows = np.linspace(0, text.sentences - 1, min(SAMPLED_MAX, text.sentences))
    lengths = np.array([len(ids) for ids in text.encoded(rows.astype(np.int64))])
    return TokenLengths(
        round(float(lengths.mean()), 2),
        float(np.percentile(lengths, 50)),
        float(np.percentile(lengths, 95)),
        float(lengths.max()),
        text.tokens_max,
        round(float((lengths > text.tokens_max).mean()), 6),
    )
