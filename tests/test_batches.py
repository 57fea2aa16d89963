"""Batches: rectangles of ids, each epoch every sentence once, a function of the seed alone."""

import numpy as np
import pytest

from textvae.text import batches
from textvae.text.batches import Batches, Ints, TokenStore, batch_of, gather, store_tokens
from textvae.text.tokenizer import BOS, EOS, PAD


def store_of(count: int) -> TokenStore:
    """Sentences of 0 to 20 ids; sentence i holds i + 10, and many have one length."""
    lengths = np.random.default_rng(5).integers(0, 21, count)
    return store_tokens([[row + 10] * int(length) for row, length in enumerate(lengths)], 20).store


def test_a_batch_is_begin_sentence_end_padding() -> None:
    """The smallest example, all of it."""
    batch = batch_of([[7, 8, 9], [], [5]])
    assert batch.tokens.tolist() == [
        [BOS, 7, 8, 9, EOS],
        [BOS, EOS, PAD, PAD, PAD],
        [BOS, 5, EOS, PAD, PAD],
    ]
    assert batch.lengths.tolist() == [5, 2, 3]
    assert batch.rows.tolist() == [0, 1, 2]
    assert batch.tokens.dtype == batch.lengths.dtype == batch.rows.dtype == np.int64


def test_no_sentences_are_an_empty_batch() -> None:
    """With the shape that a batch has."""
    batch = batch_of([])
    assert batch.tokens.shape == (0, 2)
    assert batch.lengths.shape == batch.rows.shape == (0,)


def test_gathered_rows_come_in_the_order_asked_for() -> None:
    """Repeats included, from anywhere in the store."""
    store = store_tokens([[10], [11, 11], [12, 12, 12]], 9).store
    batch = gather(store, np.array([2, 0, 2]))
    assert batch.tokens[:, 1].tolist() == [12, 10, 12]
    assert batch.rows.tolist() == [2, 0, 2]


def test_long_sentences_are_cut_and_counted() -> None:
    """`tokens_max` counts the sentence's own ids, without its ends."""
    store, truncated = store_tokens([[4, 5, 6], [4, 5], [4, 5, 6, 7]], 2)
    assert truncated == 2
    assert gather(store, np.arange(3)).lengths.tolist() == [4, 4, 4]


@pytest.mark.parametrize(("largest", "kind"), [(65_535, np.uint16), (65_536, np.int32)])
def test_ids_are_stored_small_where_all_fit(largest: int, kind: type) -> None:
    """And come out as they went in at the edge."""
    store = store_tokens([[4, largest]], 9).store
    assert store.tokens.dtype == kind
    assert gather(store, np.array([0])).tokens.tolist() == [[BOS, 4, largest, EOS]]


@pytest.mark.parametrize(
    ("sentences", "batch"), [(1, 8), (7, 8), (8, 8), (9, 8), (1000, 8), (641, 64)]
)
def test_an_epoch_sees_every_sentence_once(sentences: int, batch: int) -> None:
    """In steps of nearly one size: none above the wish, none below half of it."""
    batches = Batches(store_of(sentences), batch, seed=0)
    seen = [batches.at(3, step) for step in range(batches.per_epoch)]
    rows = np.concatenate([part.rows for part in seen])
    assert sorted(rows.tolist()) == list(range(sentences))
    sizes = {len(part.rows) for part in seen}
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(sentences, batch / 2)


def test_a_batch_holds_the_sentences_that_it_names() -> None:
    """Row numbers are the caller's way back to labels and texts."""
    batches = Batches(store_of(300), 16, seed=0)
    for step in range(batches.per_epoch):
        for tokens, length, row in zip(*batches.at(0, step)[:3], strict=True):
            assert tokens[1 : length - 1].tolist() == [row + 10] * (length - 2)


def test_a_step_depends_on_seed_epoch_and_step_alone() -> None:
    """Whatever was asked before, in this object or in another: a resumed run sees the same."""
    store = store_of(500)
    batches = Batches(store, 16, seed=1)
    straight = {(epoch, step): batches.at(epoch, step) for epoch in (0, 1) for step in range(30)}
    for epoch, step in ((1, 29), (0, 3), (1, 0), (0, 29)):
        fresh = Batches(store, 16, seed=1).at(epoch, step)
        assert fresh.rows.tolist() == straight[epoch, step].rows.tolist()
        assert batches.at(epoch, step).rows.tolist() == fresh.rows.tolist()


def test_epochs_and_seeds_differ() -> None:
    """The order is new each time, and so are the neighbours of a sentence."""
    store = store_of(500)
    orders = [
        [Batches(store, 16, seed).at(epoch, step).rows.tolist() for step in range(31)]
        for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    parts = [{frozenset(part) for part in order} for order in orders]
    for index, part in enumerate(parts):
        assert all(len(part & other) < 5 for other in parts[:index])


def test_sentences_of_like_length_share_a_batch_and_batches_are_mixed() -> None:
    """Padding is small, and lengths do not rise through an epoch."""
    batches = Batches(store_of(5000), 32, seed=0)
    parts = [batches.at(0, step) for step in range(batches.per_epoch)]
    padding = sum(int((part.tokens == PAD).sum()) for part in parts)
    assert padding < 0.1 * sum(part.tokens.size for part in parts)
    rises = np.diff([part.lengths.mean() for part in parts]) > 0
    assert 0.3 < rises.mean() < 0.7


def test_a_store_made_in_pieces_is_the_store_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a generator, with sentences that are cut, empty, or of large ids."""
    sentences = [[4 + n] * (n % 5) for n in range(23)] + [[70_000, 5]]
    whole = store_tokens(sentences, 3)
    monkeypatch.setattr(batches, "CHUNK_SENTENCES", 4)
    pieces = store_tokens(iter(sentences), 3)
    assert pieces.truncated == whole.truncated == 4
    assert pieces.store.tokens.tolist() == [id_ for ids in sentences for id_ in ids[:3]]
    assert pieces.store.tokens.dtype == whole.store.tokens.dtype == np.int32
    assert pieces.store.offsets.tolist() == whole.store.offsets.tolist()
    nothing = store_tokens([], 3).store
    assert (len(nothing.tokens), nothing.offsets.tolist()) == (0, [0])


def test_rows_are_taken_from_a_store_in_the_order_asked_for() -> None:
    """Empty ones and repeats included."""
    store = store_tokens([[10], [], [12, 12, 12], [13, 13]], 9).store
    taken = store.take(np.array([2, 1, 0, 2]))
    assert taken.sentences == 4
    assert [part.tolist() for part in np.split(taken.tokens, taken.offsets[1:-1])] == [
        [12, 12, 12],
        [],
        [10],
        [12, 12, 12],
    ]
    assert store.take(np.zeros(0, np.int64)).sentences == 0


def test_a_step_takes_no_more_than_its_pool() -> None:
    """So that memory and the first step's time do not grow with the corpus."""
    store, taken = store_of(5000), []

    class Counting:
        """A source that notes what is taken."""

        sentences = store.sentences

        def take(self, rows: Ints) -> TokenStore:
            taken.append(len(rows))
            return store.take(rows)

    noted, plain = Batches(Counting(), 8, seed=0), Batches(store, 8, seed=0)
    for step in range(plain.per_epoch):
        assert noted.at(0, step).rows.tolist() == plain.at(0, step).rows.tolist()
    assert sum(taken) == 5000
    assert max(taken) <= batches.POOL_BATCHES * 8
