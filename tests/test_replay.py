"""Replay: the old text of a training next to its new text."""

from tests.test_start import corpus
from textvae.corpus.replay import mix_replay


def test_a_nightly_run_learns_all_new_sentences_and_a_draw_of_the_old() -> None:
    text = corpus(200, 100, 60)
    known = dict(zip(text.names[:2], text.hashes[:2], strict=True))
    replay = mix_replay(text, known, 2.0, 0, seed=0)
    assert (replay.new, replay.old, replay.known) == (60, 120, 300)
    assert list(replay.corpus.train)[-60:] == list(text.train)[-60:], "all that is new"
    assert len(set(replay.corpus.train)) == 180
    assert replay.corpus.train[10:12] == list(replay.corpus.train)[10:12]
    assert replay.corpus.valid == text.valid
    again = mix_replay(text, known, 2.0, 0, seed=0)
    assert list(again.corpus.train) == list(replay.corpus.train)
    other_seed = mix_replay(text, known, 2.0, 0, seed=1)
    other_run = mix_replay(text._replace(hashes=(*text.hashes[:2], "9" * 64)), known, 2.0, 0, 0)
    for other in (other_seed, other_run):
        assert list(other.corpus.train) != list(replay.corpus.train)


def test_few_old_sentences_are_all_learned_again_and_so_is_all_where_nothing_is_new() -> None:
    text = corpus(200, 60)
    known = {text.names[0]: text.hashes[0]}
    assert mix_replay(text, known, 0.0, 50, 0).old == 50, "the floor"
    assert mix_replay(text, known, 0.0, 0, 0).old == 0
    assert list(mix_replay(text, known, 0.0, 500, 0).corpus.train) == list(text.train)
    everything = dict(zip(text.names, text.hashes, strict=True))
    nothing_new = mix_replay(text, everything, 1.0, 10, 0)
    assert (nothing_new.new, nothing_new.old) == (0, 260)
    assert list(nothing_new.corpus.train) == list(text.train)
