"""Which sentences are short enough to be measured: those that every version's engine takes."""

import logging
from collections.abc import Sequence

from textvae.config.serve import ServeConfig
from textvae.errors import DataError
from textvae.store.versions import Version
from textvae.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)


def sentences_within_limits(sentences: Sequence[str], versions: Sequence[Version]) -> list[str]:
    """As `filter_by_length`; DataError where no sentence is left."""
    kept = filter_by_length(sentences, versions)
    if not kept:
        most = ServeConfig().tokens_max
        raise DataError(f"held-out text: none is at most {most} tokens; ingest more")
    return kept


def filter_by_length(sentences: Sequence[str], versions: Sequence[Version]) -> list[str]:
    """The sentences that every version's engine takes; the others are counted in the log.

    Training cuts a long sentence, a service refuses it; a figure must be of whole sentences.
    """
    limits = ServeConfig()
    kept = [sentence for sentence in sentences if len(sentence) <= limits.characters_max]
    for version in versions:
        tokenizer = Tokenizer((version.folder / "tokenizer.model").read_bytes())
        encoded = tokenizer.encode(kept)
        kept = [
            sentence
            for sentence, ids in zip(kept, encoded, strict=True)
            if len(ids) <= limits.tokens_max
        ]
    if len(kept) < len(sentences):
        log.warning("%d sentences are too long to be measured", len(sentences) - len(kept))
    return kept
