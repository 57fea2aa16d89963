"""Benchmarks: the arms do the same work, and speeds are counted as they say."""

import timeit
from collections.abc import Callable

import pytest
import torch

from textvae.benchmarks import training_arms as torch_arms
from textvae.benchmarks.arms import Arm, gemm_peak, random_sentences, read_peak, time_interleaved
from textvae.benchmarks.training import figures_of, flops_per_token, our_loss, training_arms
from textvae.benchmarks.training_arms import (
    PublishedVae,
    TorchVae,
    good_loss,
    published_loss,
    textbook_loss,
)
from textvae.config.training import ModelConfig
from textvae.model.network import SentenceVae
from textvae.text.batches import batch_of

CONFIG = ModelConfig(embed=8, hidden=32, latent=3)
VOCAB = 40
Step = Callable[[torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]


def batch_tensors(ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and lengths of one batch in this order."""
    batch = batch_of(ids)
    return torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)


def loss_and_gradients(model: torch.nn.Module, step: Step) -> dict[str, torch.Tensor]:
    """Return the loss of a batch and the gradient of every parameter, by name."""
    loss = step(*batch_tensors(random_sentences(9, VOCAB)), torch.Generator().manual_seed(1))
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: part.grad for name, part in model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    return {
        "loss": loss.detach(),
        **{name: each for name, each in gradients.items() if each is not None},
    }


def test_arms_of_one_network_have_one_loss_and_one_gradient() -> None:
    """By the same weights and on the same batch: none is faster because it leaves something out.

    The hidden width is one that our own recurrence in C takes.
    """
    torch.manual_seed(0)
    ours = SentenceVae(CONFIG, VOCAB)
    expected = loss_and_gradients(ours, lambda *batch: our_loss(ours, *batch))
    for loss in (good_loss, textbook_loss):
        other = TorchVae(CONFIG, VOCAB)
        other.load_state_dict(ours.state_dict())
        found = loss_and_gradients(other, lambda *batch: loss(other, *batch))  # noqa: B023
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_other_arms_run_no_forward_pass_of_ours() -> None:
    """Their layers are torch's, and nothing that computes comes from `textvae.model`."""
    arms = training_arms(CONFIG, VOCAB, random_sentences(16, VOCAB), 8, 1)
    for name, arm in arms.items():
        homes = {type(layer).__module__ for layer in arm.model.modules()}
        ours = {home for home in homes if home.startswith("textvae.model")}
        assert bool(ours) == name.startswith("ours"), f"{name} has layers of {ours}"
    computed = [
        name
        for name, value in vars(torch_arms).items()
        if str(getattr(value, "__module__", "")).startswith("textvae.model")
    ]
    assert not computed


def test_all_arms_count_the_same_tokens_of_the_same_sentences() -> None:
    """Of two batches that hold all sentences: their words and one end each."""
    ids = random_sentences(16, VOCAB)
    arms = training_arms(CONFIG, VOCAB, ids, 8, 2)
    assert {"ours", "good", "textbook", "sentence_vae"} <= arms.keys()
    assert {name: arm() for name, arm in arms.items()} == dict.fromkeys(
        arms, sum(map(len, ids)) + len(ids)
    )


def test_the_published_loss_of_a_batch_is_that_of_its_sentences_alone() -> None:
    """Sorting, packing and padding lose no token and add none; there is no dropout and no noise."""
    torch.manual_seed(0)
    model = PublishedVae(CONFIG, VOCAB).eval()
    torch.nn.init.constant_(model.logvar.weight, 0.0)
    torch.nn.init.constant_(model.logvar.bias, -40.0)
    ids, generator = random_sentences(5, VOCAB), torch.Generator()
    batch = published_loss(model, *batch_tensors(ids), generator)
    alone = [published_loss(model, *batch_tensors([one]), generator) for one in ids]
    torch.testing.assert_close(batch, torch.stack(alone).mean(), rtol=1e-5, atol=1e-5)


def test_the_published_decoder_trains_with_words_dropped_and_never_their_ends() -> None:
    tokens, _ = batch_tensors(random_sentences(50, VOCAB))
    model, generator = PublishedVae(CONFIG, VOCAB), torch.Generator().manual_seed(0)
    changed = model.drop_words(tokens, generator) != tokens
    assert 0.2 < changed[tokens > 3].float().mean() < 0.3
    assert not changed[:, 0].any()
    assert not changed[tokens == 0].any()
    assert torch.equal(model.eval().drop_words(tokens, generator), tokens)


def test_the_line_has_the_speed_of_each_arm_and_ours_over_each_other() -> None:
    speeds = {"ours": [8.0, 6.0, 9.0], "ours_fp32": [4.0, 4.0, 4.0], "good": [4.0, 4.0, 3.0]}
    speeds |= {"good_fp32": [2.0, 1.0, 2.0], "textbook": [2.0] * 3, "sentence_vae": [1.0] * 3}
    figures = figures_of(speeds, 32)
    medians = {name: figures.pop(f"{name}_tokens_per_s_at_32") for name in speeds}
    assert medians == dict(zip(speeds, (8, 4, 4, 2, 2, 1), strict=True))
    assert figures == {
        "ratio_to_good_at_32": 2.0,
        "ratio_to_textbook_at_32": 4.0,
        "ratio_to_sentence_vae_at_32": 8.0,
        "fp32_ratio_to_good_at_32": 2.0,
    }


def test_operations_of_a_token_are_counted_by_hand() -> None:
    """Two directions, a decoder whose latent enters every step, and the tied softmax."""
    encoder = 2 * (96 * 8 + 96 * 32)
    decoder = 96 * (8 + 3) + 96 * 32
    output = (32 + 3) * 8 + 8 * 40
    assert flops_per_token(CONFIG, VOCAB) == 6 * (encoder + decoder + output)


def test_arms_take_turns_after_a_round_that_does_not_count() -> None:
    """So that a machine that grows slower is slower for both."""
    order: list[str] = []

    def arm(name: str) -> Arm:
        return Arm(name, lambda: order.append(name) or 3)  # type: ignore[func-returns-value]

    found = time_interleaved([arm("one"), arm("other")], 2)
    assert order == ["one", "other"] * 3
    assert [len(speeds) for speeds in found.values()] == [2, 2]
    assert min(found["one"]) > 0


def test_a_peak_is_work_over_the_fastest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a fixed clock, so that a busy machine changes nothing."""
    timed = []

    def repeat(work: Callable[[], object], **_: int) -> list[float]:
        timed.append(work())
        return [3.0, 2.0, 5.0]

    monkeypatch.setattr(timeit, "repeat", repeat)
    assert gemm_peak() == 2 * 1024**3 / 2.0
    products = [each for each in timed if isinstance(each, torch.Tensor)]
    assert {each.shape for each in products} == {(1024, 1024)}
    assert read_peak(1 << 20) == (1 << 20) / 2.0
