"""Text as a source of batches: kept or tokenised anew, the batches are the same."""

import logging

import numpy as np
import pytest

from textvae.config.data import TokenizerConfig
from textvae.corpus.toy_grammar import sample
from textvae.text.batches import Batches, TokenStore
from textvae.text.token_source import TokenizedText, token_lengths, token_source
from textvae.text.tokenizer import Tokenizer, train_tokenizer

ROWS = sample(700, seed=0)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Knows the rows."""
    return Tokenizer(train_tokenizer([row.text for row in ROWS], TokenizerConfig(vocab=320)))


def test_a_large_text_gives_the_batches_of_a_small_one(tokenizer: Tokenizer) -> None:
    """Only where the tokens are between two epochs differs."""
    kept = token_source(ROWS, tokenizer, 8)
    assert isinstance(kept, TokenStore)
    anew = token_source(ROWS, tokenizer, 8, stored_max=699)
    assert not isinstance(anew, TokenStore)
    one, other = (Batches(source, 16, seed=3) for source in (kept, anew))
    for epoch in range(2):
        for step in range(one.per_epoch):
            assert np.array_equal(one.at(epoch, step).tokens, other.at(epoch, step).tokens)
            assert np.array_equal(one.at(epoch, step).rows, other.at(epoch, step).rows)


def test_the_log_says_which_share_of_the_sentences_is_cut(
    tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing where none is."""
    lengths = np.array([len(ids) for ids in tokenizer.encode([row.text for row in ROWS])])
    token_source(ROWS, tokenizer, int(lengths.max()))
    assert not caplog.records
    limit = int(np.median(lengths))
    with caplog.at_level(logging.WARNING):
        source = token_source(ROWS, tokenizer, limit)
    share = f"{100 * (lengths > limit).mean():.2g}"
    assert caplog.messages == [f"about {share} % of the sentences are cut at {limit} tokens"]
    assert int(np.diff(source.take(np.arange(700)).offsets).max()) == limit


def test_the_lengths_in_tokens_are_counted_uncut(tokenizer: Tokenizer) -> None:
    counts = np.array([len(ids) for ids in tokenizer.encode([row.text for row in ROWS])])
    limit = int(np.median(counts))
    lengths = token_lengths(TokenizedText(ROWS, tokenizer, limit))
    assert lengths.mean == round(float(counts.mean()), 2)
    assert (lengths.p50, lengths.max) == (limit, counts.max())
    assert lengths.cut_share == round(float((counts > limit).mean()), 6) > 0
    assert lengths.line.endswith(
        f"longest {counts.max()}; {lengths.cut_share:.2%} are cut at {limit}"
    )
