"""Slots: rows of all requests share one running batch, and join and leave it at every step.

A row is a latent that becomes a sentence, or a given sentence whose likelihood under a latent is
asked. The batch is as many rows as the next bucket holds; what a row writes depends on its own
latent, options and address alone (see `model/exact.py` and `decode/counter.py`).
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from textvae.decode.beam import Beam, Hypothesis
from textvae.decode.counter import Purpose, uniforms
from textvae.decode.pick import Picking, log_sums, pick
from textvae.decode.rows import FinishedRow, Row
from textvae.model.exact import DecoderState, ExactDecoder, bucket_of, pad_rows
from textvae.options import GREEDY


class _RunningRow:
    """What changes about a row while it runs, or about one hypothesis of its beam."""

    def __init__(self, row: Row, beam: Beam | None = None, begun: Hypothesis | None = None) -> None:
        self.row = row
        self.beam = beam
        self.tokens = list(begun.tokens) if begun else []
        self.log_prob = begun.log_prob if begun else 0.0
        self.batch_rows = 0


class _Columns(NamedTuple):
    """How rows choose, (rows,) each, and the parts of their addresses that no step changes."""

    picking: Picking
    seeds: np.ndarray
    items: np.ndarray
    draws: np.ndarray


def _columns_of(rows: Sequence[Row]) -> _Columns:
    """Those of the rows; a given row chooses nothing."""
    options = [GREEDY if row.given is not None else row.options for row in rows]
    picking = Picking(
        *(np.array([getattr(each, name) for each in options]) for name in Picking._fields)
    )
    addresses = zip(*((row.seed, row.item, row.draw) for row in rows), strict=True)
    seeds, items, draws = (np.array(column, np.uint64) for column in addresses)
    return _Columns(picking, seeds, items, draws)


class SpecialIds(NamedTuple):
    """Ids with a meaning of their own."""

    begin: int
    end: int
    forbidden: tuple[int, ...]
    """Never written."""


class Slots:
    """Up to as many running rows as the largest bucket."""

    def __init__(
        self,
        decoder: ExactDecoder,
        special: SpecialIds,
        buckets: tuple[int, ...],
        library: Any = None,
    ) -> None:
        """`library`: from `native`; None picks tokens by torch and NumPy."""
        self.decoder = decoder
        self.library = library
        self.special = special
        self.buckets = buckets
        self.capacity = buckets[-1]
        self._forbidden = torch.tensor(special.forbidden)
        self._live: list[_RunningRow] = []
        # Of the rows that ran when it was made; _live[i] has row _order[i] of it, or row i.
        self._carried = decoder.nobody()
        self._order: Tensor | None = None
        # Theirs too; None after some have joined or left.
        self._columns: _Columns | None = None

    @property
    def running(self) -> int:
        """Rows in the batch."""
        return len(self._live)

    def admit(self, rows: Sequence[Row]) -> None:
        """Let rows join; the caller brings no more than there are slots for."""
        if not rows:
            return
        slots = [row.slots for row in rows]
        assert self.running + sum(slots) <= self.capacity, f"{sum(slots)} are too many to join"
        latents = torch.from_numpy(np.stack([row.latent for row in rows]))
        begun = self.decoder.start(pad_rows(latents, bucket_of(len(rows), self.buckets)))
        owner = torch.arange(len(rows)).repeat_interleave(torch.tensor(slots))
        self._carried = self._gathered().joined(begun.at(owner))
        self._columns = None
        for row in rows:
            if row.slots == 1:
                self._live.append(_RunningRow(row))
            else:
                beam = Beam(row.slots, row.tokens_max, self.special.end)
                self._live += [_RunningRow(row, beam, begun) for begun in beam.first()]

    def drop(self, unwanted: Callable[[Hashable], bool]) -> None:
        """Free the slots of owners that want nothing any more."""
        self._keep([at for at in enumerate(self._live) if not unwanted(at[1].row.owner)])

    def clear(self) -> None:
        """Free all slots."""
        self._keep([])

    def step(self) -> list[FinishedRow]:
        """Every running row gets one token more; rows that end with it leave and are returned."""
        count = self.running
        if not count:
            return []
        size = bucket_of(count, self.buckets)
        fed = [live.tokens[-1] if live.tokens else self.special.begin for live in self._live]
        fed += [self.special.begin] * (size - count)
        logits, carried = self.decoder.step(torch.tensor(fed), self._gathered().padded(size))
        self._carried = carried if size == count else carried.at(slice(count))
        logits = logits[:count]
        whole = log_sums(logits, self.library)
        self._forbid(logits)
        tokens = self._choose(logits)
        nats = logits.numpy()[np.arange(count), tokens] - whole
        return self._advance(tokens.tolist(), nats.tolist(), logits, torch.from_numpy(whole))

    def _forbid(self, logits: Tensor) -> None:
        """(running, vocab), in place: -infinity where a row may not write the token."""
        logits[:, self._forbidden] = -torch.inf
        for place, live in enumerate(self._live):
            if not live.tokens:  # a sentence has at least one token
                logits[place, self.special.end] = -torch.inf
            elif live.row.options.no_repeat:
                logits[
                    place, repeated_run_ends(live.tokens, live.row.options.no_repeat)
                ] = -torch.inf

    def _choose(self, logits: Tensor) -> np.ndarray:
        """(running, vocab) -> (running,) the next token of each row: given, likeliest or drawn.

        Of a beam's hypotheses it means nothing.
        """
        if self._columns is None:
            self._columns = _columns_of([live.row for live in self._live])
        picking, seeds, items, draws = self._columns
        numbers = np.zeros(len(logits))
        if picking.temperature.any():
            steps = np.array([len(live.tokens) for live in self._live], np.uint64)
            address = seeds, items, draws, steps
            numbers = uniforms(*address, Purpose.TOKEN, self.library)
        tokens = pick(logits, picking, numbers, self.library)
        for place, live in enumerate(self._live):
            if live.row.given is not None:
                tokens[place] = [*live.row.given, self.special.end][len(live.tokens)]
        return tokens

    def _advance(
        self, tokens: list[int], nats: list[float], logits: Tensor, whole: Tensor
    ) -> list[FinishedRow]:
        """Write each row's token down; retire the rows that end."""
        finished: list[FinishedRow] = []
        kept: list[tuple[int, _RunningRow]] = []
        place, count = 0, self.running
        while place < count:
            live = self._live[place]
            slots = live.row.slots
            for each in self._live[place : place + slots]:
                each.batch_rows = max(each.batch_rows, count)
            if live.beam is None:
                ended = self._append(live, tokens[place], nats[place])
                goes_on = [] if ended else [(place, live)]
            else:
                part = slice(place, place + slots)
                ended, goes_on = self._grow(live.beam, part, logits[part] - whole[part, None])
            finished += [ended] if ended else []
            kept += goes_on
            place += slots
        self._keep(kept)
        return finished

    def _append(self, live: _RunningRow, token: int, nats: float) -> FinishedRow | None:
        """Write a row's token down -> the row, if it ends with it."""
        live.log_prob += nats
        ended = token == self.special.end
        if not ended:
            live.tokens.append(token)
        full = live.row.given is None and len(live.tokens) >= live.row.tokens_max
        if not (ended or full):
            return None
        return FinishedRow(live.row, live.tokens, live.log_prob, ended, live.batch_rows)

    def _grow(
        self, beam: Beam, part: slice, log_probs: Tensor
    ) -> tuple[FinishedRow | None, list[tuple[int, _RunningRow]]]:
        """A beam's step -> the row, if its search is over, else whom each slot goes on from."""
        before = self._live[part]
        row, batch_rows = before[0].row, before[0].batch_rows
        grown = beam.advance(
            [Hypothesis(tuple(live.tokens), live.log_prob) for live in before], log_probs
        )
        if not grown:
            best, *others = beam.best()
            ended = list(best.tokens), best.log_prob, best.ended
            return FinishedRow(row, *ended, batch_rows, tuple(others)), []
        goes_on = []
        for parent, hypothesis in grown:
            live = _RunningRow(row, beam, hypothesis)
            live.batch_rows = batch_rows
            goes_on.append((part.start + parent, live))
        return None, goes_on

    def _gathered(self) -> DecoderState:
        """What the running rows carry, in their order; copied once, however often rows left."""
        if self._order is not None:
            self._carried, self._order = self._carried.at(self._order), None
        return self._carried

    def _keep(self, kept: list[tuple[int, _RunningRow]]) -> None:
        """Only these rows go on, each from the state at its place."""
        before, self._live = self._live, [live for _, live in kept]
        if self._live == before:
            return
        index = torch.tensor([place for place, _ in kept], dtype=torch.long)
        self._order = index if self._order is None else self._order[index]
        self._columns = None


def repeated_run_ends(tokens: Sequence[int], run: int) -> list[int]:
    """The tokens that would end a run of `run` tokens which `tokens` already has."""
    begun = run - 1
    last = list(tokens[len(tokens) - begun :]) if begun else []
    return [
        tokens[place + begun]
        for place in range(len(tokens) - begun)
        if list(tokens[place : place + begun]) == last
    ]
