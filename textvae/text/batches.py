"""Token batches: which sentences step 1234 of a run sees is a pure function of the seed.

Tokens are NumPy arrays here. What a token means is the tokenizer's business, what becomes of it is
the model's; this file knows neither. Lengths are in tokens and count BOS and EOS.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from textvae.text.tokenizer import BOS, EOS, PAD

Ints = npt.NDArray[np.integer[Any]]

# Sorting by length inside a pool keeps padding near 3 % of all tokens on clauses of
# 3 to 12 words, while the shuffle before it keeps a sentence's neighbours changing.
POOL_BATCHES = 50
# Sentences that are lists of ids at the same time; as arrays they are a twentieth of the size.
STORED_AT_ONCE = 10_000


class TokenStore(NamedTuple):
    """All sentences of one side, flat: sentence i is tokens[offsets[i]:offsets[i + 1]]."""

    tokens: Ints
    """(total,) uint16 where every id fits, else int32; no BOS, no EOS."""
    offsets: npt.NDArray[np.int64]
    """(sentences + 1,), starting with 0."""


class Batch(NamedTuple):
    """Some sentences as one rectangle."""

    tokens: npt.NDArray[np.int64]
    """(batch, time): BOS, the sentence, EOS, then PAD."""
    lengths: npt.NDArray[np.int64]
    """(batch,) tokens of each sentence, BOS and EOS counted."""
    rows: npt.NDArray[np.int64]
    """(batch,) each sentence's own number in the store."""


class Stored(NamedTuple):
    """What `store_tokens` gives back."""

    store: TokenStore
    truncated: int
    """Sentences that were longer than `tokens_max` and lost their end."""


def store_tokens(sentences: Iterable[Sequence[int]], tokens_max: int) -> Stored:
    """The sentences' ids, flat, each cut after `tokens_max` ids (BOS and EOS not counted).

    Read once and in order, so that a generator of them need never be whole in memory.
    """
    parts: list[npt.NDArray[np.int32]] = []
    counts: list[npt.NDArray[np.int64]] = []
    truncated = 0
    waiting = iter(sentences)
    while some := list(itertools.islice(waiting, STORED_AT_ONCE)):
        truncated += sum(len(ids) > tokens_max for ids in some)
        kept = [ids[:tokens_max] for ids in some]
        counts.append(np.array([len(ids) for ids in kept], dtype=np.int64))
        flat = itertools.chain.from_iterable(kept)
        parts.append(np.fromiter(flat, dtype=np.int32, count=int(counts[-1].sum())))
    offsets = np.zeros(sum(map(len, counts)) + 1, dtype=np.int64)
    if counts:
        np.cumsum(np.concatenate(counts), out=offsets[1:])
    large = any(part.size and part.max() > np.iinfo(np.uint16).max for part in parts)
    width = np.int32 if large else np.uint16
    tokens = np.concatenate([part.astype(width) for part in parts] or [np.zeros(0, width)])
    return Stored(TokenStore(tokens, offsets), truncated)


def gather(store: TokenStore, rows: Ints) -> Batch:
    """The batch of these rows of the store, in this order."""
    numbers = np.asarray(rows, dtype=np.int64)
    starts = store.offsets[numbers]
    counts = store.offsets[numbers + 1] - starts
    longest = int(counts.max(initial=0))
    tokens = np.full((len(numbers), longest + 2), PAD, dtype=np.int64)
    tokens[:, 0] = BOS
    inside = np.arange(longest) < counts[:, None]  # (batch, longest)
    tokens[:, 1:-1][inside] = store.tokens[(starts[:, None] + np.arange(longest))[inside]]
    tokens[np.arange(len(numbers)), counts + 1] = EOS
    return Batch(tokens, counts + 2, numbers)


def batch_of(sentences: Sequence[Sequence[int]]) -> Batch:
    """One batch of exactly these sentences, in this order, none of them cut."""
    store = store_tokens(sentences, max(map(len, sentences), default=0)).store
    return gather(store, np.arange(len(sentences)))


class Batches:
    """The batches of a training run; each epoch sees every sentence once.

    An epoch is divided into equal parts, so that no step sees fewer than half of the wished batch
    (unless the whole corpus is smaller) and none sees more. A batch holds sentences of like length.
    """

    def __init__(self, store: TokenStore, batch: int, seed: int) -> None:
        """`batch`: sentences a step, at most."""
        assert batch >= 1, f"batch must be positive, got {batch}"
        self.store = store
        self.seed = seed
        self.sentences = len(store.offsets) - 1
        assert self.sentences >= 1, "no sentence to batch; ingest refuses such a corpus"
        self.per_epoch = -(-self.sentences // batch)
        """Steps of one epoch, at least 1."""
        self._order: tuple[int, list[npt.NDArray[np.int64]]] = (-1, [])

    def at(self, epoch: int, step: int) -> Batch:
        """The batch of this step (0 to per_epoch - 1) of this epoch, whatever was asked before."""
        assert 0 <= step < self.per_epoch, f"step must be 0 to {self.per_epoch - 1}, got {step}"
        if self._order[0] != epoch:
            self._order = (epoch, self._epoch(epoch))
        return gather(self.store, self._order[1][step])

    def _epoch(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """The rows of each batch of an epoch: shuffled, sorted in pools, batches shuffled."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(self.sentences).astype(np.int64)
        counts = np.diff(self.store.offsets)
        bounds = np.arange(self.per_epoch + 1) * self.sentences // self.per_epoch
        pools = [*bounds[:-1:POOL_BATCHES], self.sentences]
        for start, end in itertools.pairwise(pools):
            pool = order[start:end]
            order[start:end] = pool[np.argsort(counts[pool], kind="stable")]
        parts = [order[start:end] for start, end in itertools.pairwise(bounds)]
        return [parts[place] for place in random.permutation(self.per_epoch)]
