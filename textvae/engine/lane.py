"""A lane: the work of one priority, in fair order, and the slots that write it."""

import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine.fair_queue import FairQueue
from textvae.engine.figures import Tally
from textvae.engine.job import Job, Sentence, owner_of
from textvae.engine.load import LoadedVersion
from textvae.engine.prices import Prices
from textvae.engine.reading import Network, Reading, by_length
from textvae.text.tokenizer import EOS, Tokenizer

TURNS_S, TURNS_ALONE_S = 0.005, 0.02
"""Seconds of planning between two batches, beside rows that run and without: so that a bucket has
the sentences of all who wait."""


class Lane:
    """Work that waits and runs; the engine's thread alone uses it."""

    def __init__(self, loaded: LoadedVersion, prices: Prices) -> None:
        self._loaded = loaded
        self._prices = prices
        special = SpecialIds(EOS, Tokenizer.forbidden)
        self.slots = Slots(loaded.decoder, special, loaded.buckets, loaded.library)
        self.turns: deque[Job] = deque()
        """Requests that go on planning."""
        self.sentences: dict[Network, FairQueue[Sentence]] = {
            network: FairQueue(lambda sentence: len(sentence.ids) + 1)
            for network in ("encoder", "language_model")
        }
        self.rows: FairQueue[Row] = FairQueue(self._row_tokens)
        self.tallies = {"read": Tally(), "write": Tally()}

    @property
    def has_work(self) -> bool:
        """Return whether anything waits or runs."""
        waits = self.turns or self.rows or any(self.sentences.values())
        return bool(waits or self.slots.running)

    @property
    def spread(self) -> float:
        """Return how far callers who wait are apart, in tokens; any thread may ask."""
        queues = list(self.sentences.values())
        return max([self.rows.spread, *(queue.spread for queue in queues)])

    def wait(self, job: Job, stage: Reading | list[Row]) -> None:
        """Let the sentences or rows of a stage wait."""
        if isinstance(stage, Reading):
            job.wait_for(stage, self._loaded.blank(stage))
            order = by_length(stage.ids)
            sentences = (Sentence(job, number, stage.ids[number]) for number in order)
            self.sentences[stage.network].add(job.caller, sentences)
        else:
            job.wait_for(stage)
            self.rows.add(job.caller, stage)

    def take_turns(self, advance: Callable[[Job], None]) -> None:
        """Let requests go on planning, one after another, for a while at most."""
        ends_s = time.perf_counter() + (TURNS_S if self.slots.running else TURNS_ALONE_S)
        while self.turns and time.perf_counter() < ends_s:
            job = self.turns.popleft()
            if not job.is_void:
                advance(job)

    def read(self) -> Iterator[tuple[Sentence, np.ndarray]]:
        """Read one bucket of sentences, of whichever requests -> each with its result.

        The networks take turns where sentences wait for both.
        """
        waiting = [network for network, queue in self.sentences.items() if queue]
        if not waiting:
            return
        network = waiting[0]
        self.sentences[network] = queue = self.sentences.pop(network)  # the last in turn now
        bucket: list[Sentence] = []
        while queue and len(bucket) < self._loaded.buckets[-1]:
            sentence = queue.take()
            if not sentence.owner.is_void:
                bucket.append(sentence)
        if not bucket:
            return
        results = self._loaded.read(network, [sentence.ids for sentence in bucket])
        self.tallies["read"].add(len(bucket), sum(len(sentence.ids) + 1 for sentence in bucket))
        for sentence in bucket:
            sentence.owner.seconds += (len(sentence.ids) + 1) * self._prices.read_s
        yield from zip(bucket, results, strict=True)

    def admit(self) -> None:
        """Let waiting rows join the running ones, in fair order."""
        free = self.slots.capacity - self.slots.running
        joining: list[Row] = []
        while self.rows and self.rows.peek().slots <= free:
            row = self.rows.take()
            if not owner_of(row).is_void:
                joining.append(row)
                free -= row.slots
        self.slots.admit(joining)

    def step(self) -> list[FinishedRow]:
        """Write one more token of every running row -> the rows that ended with it."""
        running = self.slots.running
        finished = self.slots.step()
        if running:
            self.tallies["write"].add(running, running)
        for each in finished:
            self._settle(each)
        return finished

    def drop_void(self) -> None:
        """Free the slots of rows that nobody wants any more."""
        self.slots.drop(lambda owner: isinstance(owner, Job) and owner.is_void)

    def clear_sentences(self) -> None:
        """Forget what waits to be read."""
        for queue in self.sentences.values():
            queue.clear()

    def clear_rows(self) -> None:
        """Free all slots, and forget what waits for them."""
        self.slots.clear()
        self.rows.clear()

    def _settle(self, finished: FinishedRow) -> None:
        """Charge the caller of a finished row for the tokens that it took, and learn from it."""
        job = owner_of(finished.row)
        tokens = (len(finished.tokens) + 1) * finished.row.slots
        job.seconds += tokens * self._prices.write_s
        self.rows.charge(job.caller, tokens - self._row_tokens(finished.row))
        self._prices.learn_row(job.work.kind, len(finished.tokens) + 1)

    def _row_tokens(self, row: Row) -> float:
        """Return the tokens that a row is expected to take."""
        if row.targets is not None:
            return len(row.targets) + 1.0
        return self._prices.tokens_of(owner_of(row).work.kind) * row.slots
