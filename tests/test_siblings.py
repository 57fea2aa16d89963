"""Siblings: who they are, which of them a batch reads, and what a network learns from them."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.rephrasing import grouped
from tests.tiny_runs import KilledError, learn_from, lines, tiny
from textvae.errors import InputError
from textvae.text.batches import Batches, pair, store_tokens
from textvae.text.sentence import Sentence
from textvae.text.siblings import Rephrasing, Siblings, siblings_of
from textvae.text.tokenizer import REBUILD, REPHRASE
from textvae.training.ranks import Ranks
from textvae.training.run import Candidate

GROUPS = ("a", "b", "a", "", "c", "b", "", "a")


def siblings() -> Siblings:
    """Rows 0, 2 and 7 are one group, 1 and 5 another; 3, 4 and 6 have no sibling."""
    return siblings_of([Sentence(f"text {row}", group=group) for row, group in enumerate(GROUPS)])


def batches(share: float, seed: int = 0) -> Batches:
    """Batches of sentences whose only token is their row's own, in groups of three."""
    groups = siblings_of([Sentence("text", group=str(row // 3)) for row in range(300)])
    store = store_tokens(([row + 9] for row in range(300)), 5).store
    return Batches(store, 32, seed, Rephrasing(groups, share))


def test_a_sibling_is_another_member_of_the_group_and_each_is_alike_likely() -> None:
    rows = np.repeat(np.arange(8), 3000)
    drawn = siblings().draw(rows, np.random.default_rng(0))
    for row in range(8):
        seen = Counter(drawn[rows == row].tolist())
        others = {other for other in range(8) if GROUPS[row] and GROUPS[other] == GROUPS[row]}
        assert set(seen) == ((others - {row}) or {row})
        assert min(seen.values()) > 0.9 * 3000 / len(seen)


def test_sentences_without_a_group_are_no_siblings_of_each_other() -> None:
    assert siblings().paired.tolist() == [0, 1, 2, 5, 7]
    assert not len(siblings_of([Sentence("one"), Sentence("other")]).paired)


def test_a_batch_reads_siblings_for_its_share_and_says_so_by_the_first_token() -> None:
    share, read, written = 0.4, 0, 0
    source = batches(share)
    for epoch in range(30):
        batch = source.at(epoch, epoch % source.per_epoch)
        assert batch.read is not None
        other = batch.read.rows != batch.rows
        assert (batch.rows // 3 == batch.read.rows // 3).all()
        assert (batch.tokens[:, 0] == np.where(other, REPHRASE, REBUILD)).all()
        assert (batch.read.tokens[:, 0] == REBUILD).all()
        assert (batch.tokens[:, 1] == batch.rows + 9).all()
        assert (batch.read.tokens[:, 1] == batch.read.rows + 9).all()
        read, written = read + int(other.sum()), written + len(other)
    assert read / written == pytest.approx(share, abs=0.05)


def test_what_a_batch_reads_is_a_function_of_seed_epoch_and_step() -> None:
    forwards = [batches(0.5).at(2, step).read for step in range(3)]
    source = batches(0.5)
    backwards = [source.at(2, step).read for step in (2, 1, 0)][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert one is not None
        assert other is not None
        assert (one.rows == other.rows).all()
    assert len({str(batches(0.5).at(epoch, 0).read) for epoch in range(4)}) == 4
    assert str(batches(0.5, seed=1).at(0, 0).read) != str(batches(0.5).at(0, 0).read)


def test_a_process_learns_from_its_share_of_the_pairs() -> None:
    batch = batches(0.5).at(0, 0)
    shares = [Ranks(number, 2).share_of(batch) for number in range(2)]
    assert batch.read is not None
    for number, share in enumerate(shares):
        assert share.read is not None
        assert (share.read.rows == batch.read.rows[number::2]).all()
        assert (share.read.tokens == batch.read.tokens[number::2]).all()


def test_the_same_rows_are_paired_by_the_seeds_alone() -> None:
    source = batches(0.5)
    assert source.rephrasing is not None
    batch = source.at(0, 0)
    one, again, other = (
        pair(batch, source.source, source.rephrasing, seeds) for seeds in ([1], [1], [2])
    )
    assert str(one) == str(again) != str(other)


def learned(run: Path, stop: tuple[str, int] | None = None, **settings: object) -> Candidate:
    """What is learned from the pairs in some steps."""
    recipe = tiny(**{"sibling_share": 0.5, "word_dropout": 0.3, **settings})
    return learn_from(grouped(), recipe, run, stop)


def test_a_run_that_rephrases_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    undisturbed = learned(tmp_path / "undisturbed")
    with pytest.raises(KilledError):
        learned(tmp_path / "killed", ("vae", 13))
    assert learned(tmp_path / "killed").files == undisturbed.files
    assert undisturbed.facts["siblings"] == len(grouped().train)
    rebuilt = learned(tmp_path / "rebuilt", sibling_share=0.0)
    assert rebuilt.files["model.safetensors"] != undisturbed.files["model.safetensors"]
    assert "siblings" not in rebuilt.facts


def test_a_share_without_siblings_is_said_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = grouped()._replace(train=[Sentence(row.text) for row in grouped().train])
    with caplog.at_level(logging.WARNING):
        found = learn_from(alone, tiny(sibling_share=0.5), tmp_path / "alone")
    assert "no sentence has a sibling" in caplog.text
    plain = learn_from(alone, tiny(), tmp_path / "plain")
    assert found.files["model.safetensors"] == plain.files["model.safetensors"]
    assert "siblings" not in found.facts


def test_held_out_siblings_cost_about_what_the_sentences_themselves_do(
    rephrasing_run: Path,
) -> None:
    """Of the two forms that a sentence has, the first token says which one is wanted."""
    figures = [line for line in lines(rephrasing_run) if "valid_sibling_nats" in line]
    assert [line["step"] for line in figures] == [350, 700]
    last = figures[-1]
    assert last["valid_own_nats"] == pytest.approx(last["valid_reconstruction_nats"], abs=0.3)
    # A decoder that does not know which form is wanted pays log 2 for it.
    assert float(last["valid_sibling_nats"]) < float(last["valid_own_nats"]) + 0.5 * np.log(2)
    assert float(last["valid_own_nats"]) < 2


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=r"training\.sibling_share: must be 0 to 1"):
        tiny(sibling_share=share)


def test_no_number_of_torch_is_drawn_for_the_pairs() -> None:
    """The state of dropout and noise is that of a run without siblings."""
    state = torch.random.get_rng_state()
    batches(0.5).at(0, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
