"""Means over the newest steps of a phase: loss parts per sentence and per token, and speed.

A batch holds sentences of like length, so the nats of single steps jump with that length; a mean
over some tens of steps shows what the model learns.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from textvae.text.batches import Batch


class StepRecord(NamedTuple):
    """One step as it enters the means."""

    nats: Mapping[str, float]
    """Loss parts by name, such as `kl_nats`: means over `share`, in nats per sentence."""
    share: Batch
    """The sentences of the batch that this process learned from: all of them without torchrun."""
    batch: Batch
    """The batch of all processes."""
    seconds: float
    """Wall time of the step; validation and checkpoints are not counted."""
    gradient_norm: float
    """Norm of the gradient before it was clipped."""


class RunningMeans:
    """Means over the last `window` steps, or over all steps while there are fewer.

    Nats per sentence are weighted by sentences and nats per token by target tokens, so both are
    the figures of one batch of all sentences in the window. With several processes they are those
    of this process' shares. A phase that goes on from a checkpoint begins with an empty window.
    """

    def __init__(self, window: int) -> None:
        """`window`: steps, 1 or more."""
        assert window >= 1, f"window must be positive, got {window}"
        self._window = window
        self._names: tuple[str, ...] = ()
        self._rows = np.zeros((0, 0))
        self._steps = 0

    def add(self, step: StepRecord) -> None:
        """Take a step into the window, and the oldest one out of it when it is full.

        All steps must have loss parts of the same names.
        """
        if not self._steps:
            self._names = tuple(step.nats)
        sentences = len(step.share.rows)
        row = [
            sentences,
            target_tokens(step.share),
            len(step.batch.rows),
            target_tokens(step.batch),
            step.seconds,
            step.gradient_norm,
            *(sentences * step.nats[name] for name in self._names),
        ]
        if not self._steps:
            self._rows = np.zeros((self._window, len(row)))
        self._rows[self._steps % self._window] = row
        self._steps += 1

    def figures(self) -> dict[str, float]:
        """Return the means, as metrics.jsonl names them; there must be a step.

        Each loss part `<name>_nats` in nats per sentence, and `<name>_nats_per_token` in nats per
        target token; `gradient_norm`; `step_s`, the seconds a step; `sentences_per_s` and
        `tokens_per_s` of all processes together.
        """
        assert self._steps, "no step has been added"
        sums = self._rows.sum(0).tolist()
        sentences, tokens, batch_sentences, batch_tokens, seconds, norms, *nats = sums
        steps = min(self._steps, self._window)
        figures = {}
        for name, total in zip(self._names, nats, strict=True):
            figures[name] = total / sentences
            figures[f"{name}_per_token"] = total / tokens
        figures["gradient_norm"] = norms / steps
        figures["step_s"] = seconds / steps
        figures["sentences_per_s"] = batch_sentences / seconds
        figures["tokens_per_s"] = batch_tokens / seconds
        return figures


def target_tokens(batch: Batch) -> int:
    """Return how many tokens the decoder predicts: those of the sentences, and each one's EOS."""
    return int(batch.lengths.sum()) - len(batch.lengths)
