"""Token batches: which sentences step 1234 of a run sees is a pure function of the seed.

Tokens are NumPy arrays here, without their meaning. Lengths are in tokens and count BOS and EOS.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from textvae.text.siblings import Rephrasing
from textvae.text.tokenizer import EOS, PAD, REBUILD, REPHRASE

Ints = npt.NDArray[np.integer[Any]]

# Sorting by length inside a pool keeps padding near 3 % of all tokens on clauses of
# 3 to 12 words, while the shuffle before it changes a sentence's neighbours.
POOL_BATCHES = 50
# Sentences that are lists of ids at the same time; as arrays they are a twentieth of the size.
CHUNK_SENTENCES = 10_000
# The last word of the seed of pairs; an order's is the number of a pool, or none.
PAIRS = 2**32 - 1


class TokenStore(NamedTuple):
    """All sentences of one side, flat: sentence i is tokens[offsets[i]:offsets[i + 1]]."""

    tokens: Ints
    """(total,) uint16 where every id fits, else int32; no BOS, no EOS."""
    offsets: npt.NDArray[np.int64]
    """(sentences + 1,), starting with 0."""

    @property
    def sentences(self) -> int:
        """Return the number of sentences."""
        return len(self.offsets) - 1

    def take(self, rows: Ints) -> "TokenStore":
        """Return a store of these rows alone, in this order."""
        starts = self.offsets[rows]
        counts = self.offsets[1:][rows] - starts
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        moved = np.repeat(starts - offsets[:-1], counts)
        return TokenStore(self.tokens[np.arange(len(moved)) + moved], offsets)


class TokenSource(Protocol):
    """Where batches come from: a TokenStore, or text that is tokenised when it is needed."""

    @property
    def sentences(self) -> int:
        """Return the number of sentences."""

    def take(self, rows: Ints) -> TokenStore:
        """Return the tokens of these rows, in this order."""


class Batch(NamedTuple):
    """Sentences as one rectangle of tokens."""

    tokens: npt.NDArray[np.int64]
    """(batch, time): BOS (REPHRASE where another sentence is read), the sentence, EOS, then PAD."""
    lengths: npt.NDArray[np.int64]
    """(batch,) tokens of each sentence, BOS and EOS counted."""
    rows: npt.NDArray[np.int64]
    """(batch,) the row of each sentence in the store."""
    read: "Batch | None" = None
    """What the encoder reads for each; None for the sentences themselves."""

    def take(self, part: slice) -> "Batch":
        """Return the batch of these sentences alone."""
        read = self.read.take(part) if self.read else None
        return Batch(self.tokens[part], self.lengths[part], self.rows[part], read)


class StoredTokens(NamedTuple):
    """What `store_tokens` gives back."""

    store: TokenStore
    truncated: int
    """Sentences that were longer than `tokens_max` and lost their end."""


def store_tokens(sentences: Iterable[Sequence[int]], tokens_max: int) -> StoredTokens:
    """Return the sentences' ids, flat, each cut after `tokens_max` ids (BOS and EOS not counted).

    Reads them once and in order, so that a generator never has to be in memory at once.
    """
    parts: list[npt.NDArray[np.int32]] = []
    counts: list[npt.NDArray[np.int64]] = []
    truncated = 0
    waiting = iter(sentences)
    while some := list(itertools.islice(waiting, CHUNK_SENTENCES)):
        truncated += sum(len(ids) > tokens_max for ids in some)
        cut = [ids[:tokens_max] for ids in some]
        counts.append(np.array([len(ids) for ids in cut], dtype=np.int64))
        flat = itertools.chain.from_iterable(cut)
        parts.append(np.fromiter(flat, dtype=np.int32, count=int(counts[-1].sum())))
    offsets = np.zeros(sum(map(len, counts)) + 1, dtype=np.int64)
    if counts:
        np.cumsum(np.concatenate(counts), out=offsets[1:])
    large = any(part.size and part.max() > np.iinfo(np.uint16).max for part in parts)
    width = np.int32 if large else np.uint16
    tokens = np.concatenate([part.astype(width) for part in parts] or [np.zeros(0, width)])
    return StoredTokens(TokenStore(tokens, offsets), truncated)


def gather(store: TokenStore, rows: Ints) -> Batch:
    """Return the batch of these rows, in this order: (batch,) -> tokens (batch, time)."""
    numbers = np.asarray(rows, dtype=np.int64)
    starts = store.offsets[numbers]
    counts = store.offsets[numbers + 1] - starts
    longest = int(counts.max(initial=0))
    tokens = np.full((len(numbers), longest + 2), PAD, dtype=np.int64)
    tokens[:, 0] = REBUILD
    inside = np.arange(longest) < counts[:, None]  # (batch, longest)
    tokens[:, 1:-1][inside] = store.tokens[(starts[:, None] + np.arange(longest))[inside]]
    tokens[np.arange(len(numbers)), counts + 1] = EOS
    return Batch(tokens, counts + 2, numbers)


def batch_of(sentences: Sequence[Sequence[int]]) -> Batch:
    """Return one batch of exactly these sentences, in this order, uncut."""
    store = store_tokens(sentences, max(map(len, sentences), default=0)).store
    return gather(store, np.arange(len(sentences)))


def pair(batch: Batch, source: TokenSource, rephrasing: Rephrasing, seeds: Sequence[int]) -> Batch:
    """Return the batch with what the encoder reads for each of its sentences.

    That is a function of `seeds` and the rows. The decoder is told by its first token.
    """
    # Marked, so that no draw of a pair is one of an order.
    random = np.random.default_rng([*seeds, PAIRS])
    rows = rephrasing.draw(batch.rows, random)
    tokens = batch.tokens.copy()
    tokens[:, 0] = np.where(rows == batch.rows, REBUILD, REPHRASE)
    read = gather(source.take(rows), np.arange(len(rows)))._replace(rows=rows)
    return batch._replace(tokens=tokens, read=read)


class Batches:
    """The batches of a training run; each epoch sees every sentence once.

    An epoch is divided into equal parts, so that no step sees fewer than half of the batch size
    (unless the whole corpus is smaller) and none sees more. A batch holds sentences of like length.
    """

    def __init__(
        self, source: TokenSource, batch: int, seed: int, rephrasing: Rephrasing | None = None
    ) -> None:
        """`batch`: sentences per step, at most; `rephrasing`: what the encoder reads instead."""
        assert batch >= 1, f"batch must be positive, got {batch}"
        assert source.sentences >= 1, "no sentence to batch; ingest refuses such a corpus"
        self.source = source
        self.seed = seed
        self.rephrasing = rephrasing
        self.per_epoch = -(-source.sentences // batch)
        """Steps of one epoch, at least 1."""
        pools = -(-self.per_epoch // POOL_BATCHES)
        # The steps where pools begin, and the positions in an epoch's order where batches do.
        self._pools = np.arange(pools + 1) * self.per_epoch // pools
        self._bounds = np.arange(self.per_epoch + 1) * source.sentences // self.per_epoch
        self._order: tuple[int, npt.NDArray[np.int64]] = (-1, self._bounds)
        self._pool: tuple[int, int, list[Batch]] = (-1, -1, [])

    def at(self, epoch: int, step: int) -> Batch:
        """Return the batch of this step, 0 to per_epoch - 1, of this epoch."""
        assert 0 <= step < self.per_epoch, f"step must be 0 to {self.per_epoch - 1}, got {step}"
        pool = int(np.searchsorted(self._pools, step, side="right")) - 1
        if self._pool[:2] != (epoch, pool):
            self._pool = (epoch, pool, self._batches(epoch, pool))
        batch = self._pool[2][step - int(self._pools[pool])]
        if self.rephrasing is None:
            return batch
        return pair(batch, self.source, self.rephrasing, [self.seed, epoch, step])

    def _batches(self, epoch: int, pool: int) -> list[Batch]:
        """Return a pool of the epoch's shuffled sentences: sorted by length, cut, batches shuffled.

        A step thus needs the memory of a pool, however large the corpus is.
        """
        if self._order[0] != epoch:
            random = np.random.default_rng([self.seed, epoch])
            self._order = (epoch, random.permutation(self.source.sentences))
        bounds = self._bounds[self._pools[pool] : self._pools[pool + 1] + 1]
        rows = self._order[1][bounds[0] : bounds[-1]]
        store = self.source.take(rows)
        by_length = np.argsort(np.diff(store.offsets), kind="stable")
        parts = [by_length[start:end] for start, end in itertools.pairwise(bounds - bounds[0])]
        # From 1, for NumPy takes [seed, epoch, 0] for [seed, epoch], which shuffles the epoch.
        order = np.random.default_rng([self.seed, epoch, pool + 1]).permutation(len(parts))
        return [gather(store, parts[part])._replace(rows=rows[parts[part]]) for part in order]
