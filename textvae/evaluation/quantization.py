"""Whether a version may be served with weights of 8 bits: measured once, attached to it."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from textvae import files
from textvae.engine.batch_invariance import check_batch_invariance
from textvae.engine.load import LoadedVersion, load_version
from textvae.engine.start import INT8_ATTACHMENT, INT8_FILE
from textvae.store.attachments import attach, read_attachment
from textvae.store.versions import Version
from textvae.text.batches import batch_of
from textvae.text.tokenizer import EOS

log = logging.getLogger(__name__)

SENTENCES_MAX = 500
AGREEMENT_MIN = 0.99
NATS_MAX = 1e-3


class Int8Check(NamedTuple):
    """What int8 changes of held-out sentences at their posterior means."""

    sentences: int
    tokens: int
    top_1_agreement: float
    """Share of tokens at which both predict the same one; at least AGREEMENT_MIN."""
    nats_change: float
    """Mean rise of a token's negative log-likelihood, in nats; at most NATS_MAX."""
    held: bool
    """Whether both are within their limits."""


def check_int8(registry: Path, version: Version, sentences: Sequence[str]) -> Int8Check | None:
    """Return the version's check, and attach a new one; None where int8 cannot be computed here.

    `sentences`: held out and within the length limits; the first SENTENCES_MAX are compared.
    """
    attached = read_attachment(registry, version, INT8_ATTACHMENT)
    if attached:
        return Int8Check(**json.loads(attached[INT8_FILE]))
    loaded = load_version(registry, version)
    reduced = check_batch_invariance(loaded, int8=True)
    if reduced.precision != "int8":
        log.info("int8 cannot be computed here, so %s is not checked for it", version.name)
        return None
    tokens = loaded.tokenizer.encode(list(sentences[:SENTENCES_MAX]))
    check = compare_with_fp32(check_batch_invariance(loaded).loaded, reduced.loaded, tokens)
    attach(registry, version, INT8_ATTACHMENT, {INT8_FILE: files.canonical_json(check._asdict())})
    log.info(
        "int8: %.2f %% of tokens as in fp32, %+.1e nats a token: %s",
        *(100 * check.top_1_agreement, check.nats_change, "held" if check.held else "not held"),
    )
    return check


def compare_with_fp32(
    exact: LoadedVersion, reduced: LoadedVersion, encoded: list[list[int]]
) -> Int8Check:
    """Compare what `reduced` and `exact` predict of tokenised sentences."""
    same, change, tokens = 0, 0.0, 0
    order = sorted(range(len(encoded)), key=lambda number: len(encoded[number]))
    with torch.inference_mode():
        for first in range(0, len(order), exact.buckets[-1]):
            batch = [encoded[number] for number in order[first : first + exact.buckets[-1]]]
            latents = torch.from_numpy(exact.posteriors(batch).mean)
            both = _steps(exact, latents, batch), _steps(reduced, latents, batch)
            for one, other, targets in zip(*both, _target_tokens(batch), strict=True):
                real = targets >= 0
                ids = targets[real][:, None]
                tokens += len(ids)
                same += int((one.argmax(1) == other.argmax(1))[real].sum())
                nats = [-each.log_softmax(1)[real].gather(1, ids) for each in (one, other)]
                change += float((nats[1] - nats[0]).double().sum())
    agreement = same / tokens
    held = agreement >= AGREEMENT_MIN and change / tokens <= NATS_MAX
    return Int8Check(len(encoded), tokens, agreement, change / tokens, held)


def _target_tokens(encoded: list[list[int]]) -> Iterator[Tensor]:
    """Yield for each step the (rows,) target token of each sentence, the end included, or -1."""
    longest = max(len(ids) for ids in encoded)
    table = np.full((longest + 1, len(encoded)), -1)
    for row, ids in enumerate(encoded):
        table[: len(ids) + 1, row] = [*ids, EOS]
    return iter(torch.from_numpy(table))


def _steps(loaded: LoadedVersion, latents: Tensor, encoded: list[list[int]]) -> Iterator[Tensor]:
    """Yield the logits of each step after the true tokens: (rows, latent) -> (rows, vocab)."""
    state = loaded.decoder.start(latents)
    tokens = torch.from_numpy(batch_of(encoded).tokens)
    for step in range(tokens.shape[1] - 1):
        logits, state = loaded.decoder.step(tokens[:, step], state)
        yield logits
