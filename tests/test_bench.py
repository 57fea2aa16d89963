"""Benchmarks: the arms do the same work, and speeds are counted as they say."""

from functools import partial

import pytest
import torch

from textvae.benchmarks import training as bench_train
from textvae.benchmarks.arms import Arm, gemm_peak, made_up_sentences, read_peak, time_interleaved
from textvae.config.training import ModelConfig
from textvae.model.network import SentenceVae
from textvae.text.batches import batch_of

CONFIG = ModelConfig(embed=8, hidden=12, latent=3)


def test_all_arms_of_training_have_one_loss_and_one_gradient() -> None:
    """On the same batch: none is faster because it leaves something out."""
    made = batch_of(made_up_sentences(9, 40))
    tokens, lengths = torch.from_numpy(made.tokens), torch.from_numpy(made.lengths)
    found = []
    good, ours = (partial(one, "fp32") for one in (bench_train._good_loss, bench_train._our_loss))
    for loss in (bench_train._textbook_loss, good, ours):
        torch.manual_seed(0)
        model = SentenceVae(CONFIG, 40)
        total = loss(model, tokens, lengths, torch.Generator().manual_seed(1))
        total.backward()  # type: ignore[no-untyped-call]
        gradient = [part.grad.flatten() for part in model.parameters() if part.grad is not None]
        found.append(torch.cat([total.detach()[None], *gradient]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], found[2], rtol=1e-4, atol=1e-5)


def test_operations_of_a_token_are_counted_by_hand() -> None:
    """Two directions, a decoder whose latent enters every step, and the tied softmax."""
    encoder = 2 * (36 * 8 + 36 * 12)
    decoder = 36 * (8 + 3) + 36 * 12
    output = (12 + 3) * 8 + 8 * 40
    assert bench_train.flops_per_token(CONFIG, 40) == 6 * (encoder + decoder + output)


def test_arms_take_turns_after_a_round_that_does_not_count() -> None:
    """So that a machine that grows slower is slower for both."""
    order: list[str] = []

    def arm(name: str) -> Arm:
        return Arm(name, lambda: order.append(name) or 3)  # type: ignore[func-returns-value]

    found = time_interleaved([arm("one"), arm("other")], 2)
    assert order == ["one", "other"] * 3
    assert [len(speeds) for speeds in found.values()] == [2, 2]
    assert min(found["one"]) > 0


@pytest.mark.parametrize("peak", [gemm_peak, lambda: read_peak(1 << 20)])
def test_a_peak_is_what_a_machine_can_do(peak: object) -> None:
    """At least a billion a second, and no more than any processor of these years."""
    assert callable(peak)
    assert 1e9 < peak() < 1e14
