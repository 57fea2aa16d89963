"""Which sentences are short enough to be measured: those that every version's engine accepts."""

import logging
from collections.abc import Sequence
from pathlib import Path

from textvae.config.serve import ServeConfig
from textvae.errors import DataError
from textvae.version_files import tokenizer_of

log = logging.getLogger(__name__)


def sentences_within_limits(sentences: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Do as `filter_by_length`; DataError where no sentence is left."""
    kept = filter_by_length(sentences, folders)
    if not kept:
        most = ServeConfig().tokens_max
        raise DataError(f"held-out text: none is at most {most} tokens; ingest more")
    return kept


def filter_by_length(sentences: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Return the sentences that the engines of the versions in these folders accept.

    Training cuts a long sentence, a service refuses it; a figure must be of uncut sentences. The
    log counts the others.
    """
    limits = ServeConfig()
    kept = [sentence for sentence in sentences if len(sentence) <= limits.characters_max]
    for folder in folders:
        encoded = tokenizer_of(folder).encode(kept)
        kept = [
            sentence
            for sentence, ids in zip(kept, encoded, strict=True)
            if len(ids) <= limits.tokens_max
        ]
    if len(kept) < len(sentences):
        log.warning("%d sentences are too long to be measured", len(sentences) - len(kept))
    return kept
