"""Slots: rows of all requests share one running batch, and join and leave it at every step.

A row is a latent that becomes a sentence, or target tokens whose likelihood under a latent is
wanted. The batch is as many rows as the next bucket holds; what a row generates depends on its own
latent, options and address alone (see `model/exact.py` and `decode/counter.py`).
"""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from textvae.decode.beam import Beam, Hypothesis
from textvae.decode.counter import Purpose, uniforms
from textvae.decode.native import DecodeFunctions
from textvae.decode.pick import Picking, log_sums, pick
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.running_row import Moment, RunningRow
from textvae.model.exact import DecoderState, ExactDecoder, bucket_of, pad_rows
from textvae.options import GREEDY


class _Columns(NamedTuple):
    """Options and addresses of rows, (rows,) each, without the parts that change at every step."""

    picking: Picking
    seeds: np.ndarray
    items: np.ndarray
    draws: np.ndarray


def _columns_of(rows: Sequence[Row]) -> _Columns:
    """Return the columns of the rows; a row with targets has no choice, so it is greedy."""
    options = [GREEDY if row.targets is not None else row.options for row in rows]
    picking = Picking(
        *(np.array([getattr(each, name) for each in options]) for name in Picking._fields)
    )
    addresses = zip(*((row.seed, row.item, row.draw) for row in rows), strict=True)
    seeds, items, draws = (np.array(column, np.uint64) for column in addresses)
    return _Columns(picking, seeds, items, draws)


class SpecialIds(NamedTuple):
    """Ids with a meaning of their own."""

    end: int
    forbidden: tuple[int, ...]
    """Ids that are never generated."""


class Slots:
    """Up to as many running rows as the largest bucket."""

    def __init__(
        self,
        decoder: ExactDecoder,
        special: SpecialIds,
        buckets: tuple[int, ...],
        library: DecodeFunctions | None = None,
    ) -> None:
        """`library`: from `native`; None picks tokens by torch and NumPy."""
        self.decoder = decoder
        self.library = library
        self.special = special
        self.buckets = buckets
        self.capacity = buckets[-1]
        self._forbidden = torch.tensor(special.forbidden)
        self._rows: list[RunningRow] = []
        # Of the rows that ran in the last step; _rows[i] has row _order[i] of it, or row i.
        self._state = decoder.empty_state()
        self._order: Tensor | None = None
        # Of the running rows; None after rows have joined or left.
        self._columns: _Columns | None = None

    @property
    def running(self) -> int:
        """Return the number of rows in the batch."""
        return len(self._rows)

    def admit(self, rows: Sequence[Row]) -> None:
        """Let rows join; the caller brings no more than there are slots for."""
        if not rows:
            return
        slots = [row.slots for row in rows]
        assert self.running + sum(slots) <= self.capacity, f"{sum(slots)} are too many to join"
        joining: list[RunningRow] = []
        for row in rows:
            if row.slots == 1:
                joining.append(RunningRow(row))
            else:
                assert row.constraint is None, "a beam holds no constraint"
                beam = Beam(row.slots, row.tokens_max, self.special.end)
                joining += [RunningRow(row, beam, each) for each in beam.first()]
        latents = torch.from_numpy(np.stack([row.latent for row in rows]))
        state = self.decoder.start(pad_rows(latents, bucket_of(len(rows), self.buckets)))
        owner = torch.arange(len(rows)).repeat_interleave(torch.tensor(slots))
        self._state = self._gather_state().append(state.select(owner))
        self._columns = None
        self._rows += joining

    def drop(self, is_unwanted: Callable[[Hashable], bool]) -> None:
        """Free the slots of the owners that `is_unwanted`."""
        rows = enumerate(self._rows)
        self._retain([(index, row) for index, row in rows if not is_unwanted(row.row.owner)])

    def clear(self) -> None:
        """Free all slots."""
        self._retain([])

    def step(self) -> list[FinishedRow]:
        """Generate one more token of every running row -> the rows that ended with it."""
        count = self.running
        if not count:
            return []
        size = bucket_of(count, self.buckets)
        inputs = [row.tokens[-1] if row.tokens else row.row.begin for row in self._rows]
        inputs += [self.special.end] * (size - count)  # of rows that are padding; any token does
        before = self._gather_state()
        constrained = [index for index, row in enumerate(self._rows) if row.constrained]
        for index in constrained:
            row = self._rows[index]
            row.history.append(Moment(before, index, row.log_prob))
        logits, state = self.decoder.step(torch.tensor(inputs), before.pad(size))
        self._state = state if size == count else state.select(slice(count))
        logits = logits[:count]
        sums = log_sums(logits, self.library)
        unforbidden = logits[constrained].numpy()  # a lock may force what others may not write
        self._forbid(logits)
        tokens = self._choose(logits)
        again = [row for row in self._rows if row.goes_back]
        chosen = logits.numpy()[np.arange(count), tokens]
        chosen[constrained] = unforbidden[np.arange(len(constrained)), tokens[constrained]]
        nats = (chosen - sums).tolist()
        finished = self._advance(tokens.tolist(), nats, logits, torch.from_numpy(sums))
        for row in again:
            moment = row.go_back()
            state = moment.batch.select(torch.tensor([moment.row]))
            self._state = self._gather_state().append(state)
        if again:
            self._rows += again
            self._columns = None
        return finished

    def _forbid(self, logits: Tensor) -> None:
        """(running, vocab), in place: -infinity where a row may not generate the token."""
        logits[:, self._forbidden] = -torch.inf
        for index, row in enumerate(self._rows):
            ngram = row.row.options.no_repeat
            if not row.tokens:  # a sentence has at least one token
                logits[index, self.special.end] = -torch.inf
            elif ngram and row.row.targets is None:
                logits[index, repeated_ngram_ends(row.tokens, ngram)] = -torch.inf

    def _choose(self, logits: Tensor) -> np.ndarray:
        """(running, vocab) -> (running,) the next token of each row: target, likeliest or sampled.

        For the hypotheses of a beam it has no meaning.
        """
        if self._columns is None:
            self._columns = _columns_of([row.row for row in self._rows])
        picking, seeds, items, draws = self._columns
        numbers = np.zeros(len(logits))
        if picking.temperature.any():
            steps = np.array([len(row.tokens) for row in self._rows], np.uint64)
            address = seeds, items, draws, steps
            numbers = uniforms(*address, Purpose.TOKEN, self.library)
        tokens, each = pick(logits, picking, numbers, self.library), logits.numpy()
        for index, row in enumerate(self._rows):
            if row.row.targets is not None:
                tokens[index] = [*row.row.targets, self.special.end][len(row.tokens)]
            elif len(row.tokens) < len(row.row.prefix):
                tokens[index] = row.row.prefix[len(row.tokens)]
            elif row.constrained:
                choose = functools.partial(self._pick_one, picking, numbers, index)
                token = row.constrained.choose(each[index], int(tokens[index]), choose)
                row.goes_back = token is None
                tokens[index] = self.special.end if token is None else token
        return tokens

    def _pick_one(
        self, picking: Picking, numbers: np.ndarray, index: int, logits: np.ndarray
    ) -> int:
        """(vocab,) -> the token that the row at an index picks."""
        own, number = Picking(*(column[[index]] for column in picking)), numbers[[index]]
        return int(pick(torch.from_numpy(logits)[None], own, number, self.library)[0])

    def _advance(
        self, tokens: list[int], nats: list[float], logits: Tensor, sums: Tensor
    ) -> list[FinishedRow]:
        """Append each row's token -> the rows that end, which leave."""
        finished: list[FinishedRow] = []
        remaining: list[tuple[int, RunningRow]] = []
        index, count = 0, self.running
        while index < count:
            row = self._rows[index]
            slots = row.row.slots
            for each in self._rows[index : index + slots]:
                each.batch_rows = max(each.batch_rows, count)
            if row.goes_back:
                ended, successors = None, []
            elif row.beam is None:
                ended = self._append(row, tokens[index], nats[index])
                successors = [] if ended else [(index, row)]
            else:
                part = slice(index, index + slots)
                ended, successors = self._grow(row.beam, part, logits[part] - sums[part, None])
            finished += [ended] if ended else []
            remaining += successors
            index += slots
        self._retain(remaining)
        return finished

    def _append(self, row: RunningRow, token: int, nats: float) -> FinishedRow | None:
        """Append a row's token -> the finished row, if it ends with it."""
        row.log_prob += nats
        ended = token == self.special.end
        if not ended:
            row.tokens.append(token)
        full = row.row.targets is None and len(row.tokens) >= row.row.tokens_max
        if not (ended or full):
            return None
        return FinishedRow(row.row, row.tokens, row.log_prob, ended, row.batch_rows)

    def _grow(
        self, beam: Beam, part: slice, log_probs: Tensor
    ) -> tuple[FinishedRow | None, list[tuple[int, RunningRow]]]:
        """Advance a beam -> the row, if its search is over, else each slot's state and row."""
        before = self._rows[part]
        row, batch_rows = before[0].row, before[0].batch_rows
        grown = beam.advance(
            [Hypothesis(tuple(each.tokens), each.log_prob) for each in before], log_probs
        )
        if not grown:
            best, *others = beam.best()
            ended = list(best.tokens), best.log_prob, best.ended
            return FinishedRow(row, *ended, batch_rows, tuple(others)), []
        successors = []
        for parent, hypothesis in grown:
            successor = RunningRow(row, beam, hypothesis)
            successor.batch_rows = batch_rows
            successors.append((part.start + parent, successor))
        return None, successors

    def _gather_state(self) -> DecoderState:
        """Return the state of the running rows, in order; copied once, however often rows left."""
        if self._order is not None:
            self._state, self._order = self._state.select(self._order), None
        return self._state

    def _retain(self, remaining: list[tuple[int, RunningRow]]) -> None:
        """Continue with these rows only, each from the state of the row at its index."""
        before, self._rows = self._rows, [row for _, row in remaining]
        if self._rows == before:
            return
        index = torch.tensor([index for index, _ in remaining], dtype=torch.long)
        self._order = index if self._order is None else self._order[index]
        self._columns = None


def repeated_ngram_ends(tokens: Sequence[int], ngram: int) -> list[int]:
    """Return the tokens that would end an n-gram of `ngram` tokens that `tokens` already has."""
    prefix = ngram - 1
    last = list(tokens[len(tokens) - prefix :]) if prefix else []
    return [
        tokens[start + prefix]
        for start in range(len(tokens) - prefix)
        if list(tokens[start : start + prefix]) == last
    ]
