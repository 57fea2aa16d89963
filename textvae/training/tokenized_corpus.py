"""The text of a run in tokens: its tokenizer, its batches' sources and who are siblings."""

import logging
from pathlib import Path
from typing import NamedTuple

from textvae import files
from textvae.corpus.spans import Corpus
from textvae.errors import DataError
from textvae.text.batches import TokenSource
from textvae.text.siblings import Rephrasing, Siblings, siblings_of
from textvae.text.token_source import (
    TokenizedText,
    TokenLengths,
    token_lengths,
    token_source,
)
from textvae.text.tokenizer import Tokenizer, draw_sentences, train_tokenizer
from textvae.training.ranks import current_ranks
from textvae.training.recipe import Recipe
from textvae.version_files import TOKENIZER_FILE

log = logging.getLogger(__name__)

NO_SIBLINGS = (
    "training.sibling_share is {:g}, but no sentence has a sibling, so that nothing is rephrased; "
    "name the column of groups by data.group_column, or set data.label_is_group, and ingest the "
    "text into a new folder store.spans"
)
"""What a run with a share, which is filled in, and without siblings says."""

# Validation reads some hundreds of held-out sentences, however many there are.
VALID_SENTENCES_MAX = 10_000


class TokenizedCorpus(NamedTuple):
    """The text of a run in tokens."""

    tokenizer: bytes
    """The SentencePiece model."""
    vocab: int
    """Size of its vocabulary."""
    train: TokenSource
    """Sentences that are learned from."""
    valid: TokenSource
    """Held-out sentences of the validations."""
    lengths: TokenLengths
    """Of the sentences that are learned from."""
    rephrasing: Rephrasing | None = None
    """What of `train` is learned as rephrasings; None for nothing."""
    valid_siblings: Siblings | None = None
    """Siblings of `valid`, where rephrasings are learned."""

    @property
    def sibling_facts(self) -> dict[str, int]:
        """Return what the manifest says of siblings: how many sentences have one that is learned
        from, and nothing where rephrasing is not learned."""
        if self.rephrasing is None:
            return {}
        return {"siblings": len(self.rephrasing.siblings.paired)}


def tokenize_corpus(recipe: Recipe, corpus: Corpus, run: Path) -> TokenizedCorpus:
    """Return the run's tokenizer, and the sides that it trains and validates on in its tokens.

    Raise DataError where a held-out side of the corpus is empty.
    """
    for side in ("valid", "test"):
        if not getattr(corpus, side):
            raise DataError(f"corpus: no sentence is on the {side} side; raise data.{side}_share")
    contents = _run_tokenizer(recipe, corpus, run)
    tokenizer = Tokenizer(contents)
    tokens_max = recipe.training.tokens_max
    train = token_source(corpus.train, tokenizer, tokens_max)
    valid = token_source(corpus.valid, tokenizer, tokens_max, stored_max=VALID_SENTENCES_MAX)
    lengths = token_lengths(TokenizedText(corpus.train, tokenizer, tokens_max))
    log.info("%s", lengths.line)
    tokenized = TokenizedCorpus(contents, tokenizer.vocab, train, valid, lengths)
    return _with_siblings(tokenized, corpus, recipe.training.sibling_share)


def _with_siblings(tokenized: TokenizedCorpus, corpus: Corpus, share: float) -> TokenizedCorpus:
    """Return the text with the siblings that are learned from; the log says how many there are."""
    if not share:
        return tokenized
    siblings = siblings_of(corpus.train)
    paired = len(siblings.paired)
    if not paired:
        log.warning("%s", NO_SIBLINGS.format(share))
        return tokenized
    log.info("%d of %d sentences have a sibling", paired, len(corpus.train))
    rephrasing = Rephrasing(siblings, share)
    return tokenized._replace(rephrasing=rephrasing, valid_siblings=siblings_of(corpus.valid))


def copy_tokenizer(source: Path, run: Path) -> None:
    """Copy the champion's tokenizer into the run, unless the run has one."""
    path, ranks = run / TOKENIZER_FILE, current_ranks()
    if ranks.first and not path.exists():
        files.copy_file(source, path)
    ranks.wait()


def _run_tokenizer(recipe: Recipe, corpus: Corpus, run: Path) -> bytes:
    """Return the tokenizer in the run's folder; train it first where there is none."""
    path, ranks = run / TOKENIZER_FILE, current_ranks()
    if ranks.first and not path.exists():
        config, seed = recipe.tokenizer, recipe.training.seed
        texts = [row.text for row in draw_sentences(corpus.train, config.sentences_max, seed)]
        files.write_bytes(path, train_tokenizer(texts, config))
    ranks.wait()
    return path.read_bytes()
