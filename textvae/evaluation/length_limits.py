"""Which held-out sentences are measured: those that a service of every version would take."""

import logging
from collections.abc import Sequence
from pathlib import Path

from textvae.config.serve import ServeConfig
from textvae.errors import DataError
from textvae.evaluation.variations import HeldOutGroup
from textvae.version_files import tokenizer_of

log = logging.getLogger(__name__)

LENGTH_LIMITS = ("characters_max", "tokens_max")
"""Limits of the service that decide which sentences it takes and how long those it writes are."""


def measuring_config(serve: ServeConfig) -> ServeConfig:
    """Return the settings of an engine that measures: the service's length limits and threads.

    Quotas of one call change nothing that a version writes and stay at their defaults. Weights are
    in fp32; `check_int8` compares int8 with them.
    """
    lengths = {name: getattr(serve, name) for name in LENGTH_LIMITS}
    return ServeConfig(**lengths, threads=serve.threads)


def limits_key(serve: ServeConfig) -> list[dict[str, int]]:
    """Return what length limits add to an attachment's name.

    Nothing where they are the defaults, so that what was measured before is still read.
    """
    default = ServeConfig()
    others = {name: getattr(serve, name) for name in LENGTH_LIMITS}
    others = {name: limit for name, limit in others.items() if limit != getattr(default, name)}
    return [others] if others else []


def sentences_within_limits(
    sentences: Sequence[str], folders: Sequence[Path], serve: ServeConfig
) -> list[str]:
    """Return the sentences as `filter_by_length`; DataError where no sentence is left."""
    short = filter_by_length(sentences, folders, serve)
    if not short:
        raise DataError(
            f"held-out text: none is at most {serve.tokens_max} tokens (serve.tokens_max) and "
            f"{serve.characters_max} characters; ingest more or raise the limit"
        )
    return short


def filter_by_length(
    sentences: Sequence[str], folders: Sequence[Path], serve: ServeConfig
) -> list[str]:
    """Return the sentences that a service of the version in each folder takes; log how many are
    too long.

    Training truncates a long sentence and a service refuses it; figures are of complete sentences.
    """
    short = [sentence for sentence in sentences if len(sentence) <= serve.characters_max]
    for folder in folders:
        encoded = tokenizer_of(folder).encode(short)
        short = [
            sentence
            for sentence, ids in zip(short, encoded, strict=True)
            if len(ids) <= serve.tokens_max
        ]
    if len(short) < len(sentences):
        log.warning("%d sentences are too long to be measured", len(sentences) - len(short))
    return short


def groups_within_limits(
    groups: Sequence[HeldOutGroup], folder: Path, serve: ServeConfig
) -> list[HeldOutGroup]:
    """Return the groups of which a service of the version in the folder takes every sentence."""
    texts = list(dict.fromkeys(text for one in groups for text in (one.source, *one.references)))
    short = set(filter_by_length(texts, [folder], serve))
    return [one for one in groups if short.issuperset((one.source, *one.references))]
