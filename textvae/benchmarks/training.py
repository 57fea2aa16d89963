"""The benchmark of a training step: ours, two by torch alone on the same network (a good one and a
textbook's), and Sentence-VAE's."""

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from textvae.benchmarks.arms import (
    Arm,
    Result,
    describe_machine,
    gemm_peak,
    random_sentences,
    time_interleaved,
)
from textvae.benchmarks.training_arms import (
    PublishedVae,
    TorchVae,
    good_loss,
    published_loss,
    textbook_loss,
)
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.model.losses import vae_loss
from textvae.model.network import DropoutSpec, SentenceVae
from textvae.text.batches import Batch, Batches, batch_of, store_tokens
from textvae.training.loop import arithmetic, autocast

TARGETS = {32: 4.0, 128: 5.5}
"""Least ratio of ours to the textbook, by sentences a step."""
FP32_TARGET = 1.8
"""Least ratio of ours to the good arm, both in fp32."""
TOKENS_MAX = 64
CLIP_NORM = 5.0

Loss = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""(batch, time), (batch,) and the generator of the noise -> (), nats per sentence."""


def bench_train(quick: bool) -> Result:
    """Time a step of 32 and of 128 sentences; every arm counts the same real tokens.

    Ours: the step of `training/`. Good, by torch.nn.GRU alone: sentences of like length together,
    softmax over real tokens, autocast where the processor has bf16, fused Adam. Textbook: random
    batches, packed GRUs, fp32, softmax over padding too, plain Adam. Sentence-VAE: the step of
    github.com/timbmg/Sentence-VAE, in fp32. Ours and good in fp32 too.
    """
    config = ModelConfig(embed=64, hidden=128, latent=16) if quick else ModelConfig()
    vocab, load_before = 1000 if quick else 8192, os.getloadavg()[0]
    sentences = random_sentences(1024 if quick else 4096, vocab)
    flops = flops_per_token(config, vocab)
    peak = gemm_peak(arithmetic("auto"))
    figures, targets = {"peak_gflops": peak / 1e9}, {}
    for batch, target in TARGETS.items():
        arms = training_arms(config, vocab, sentences, batch, 1 if quick else 256 // batch)
        for name in ("ours", "sentence_vae"):
            model = arms[name].model
            figures[f"{name}_parameters"] = sum(part.numel() for part in model.parameters())
        speeds = time_interleaved([Arm(name, arm) for name, arm in arms.items()], 2 if quick else 7)
        figures |= figures_of(speeds, batch)
        figures[f"share_of_peak_at_{batch}"] = flops * float(np.median(speeds["ours"])) / peak
        targets[f"ratio_to_textbook_at_{batch}"] = target
        targets[f"fp32_ratio_to_good_at_{batch}"] = FP32_TARGET
    held = all(figures[name] >= target for name, target in targets.items())
    return Result("train", describe_machine(), load_before, figures, targets, held)


def figures_of(speeds: dict[str, list[float]], batch: int) -> dict[str, float]:
    """Return the tokens a second of each arm, and the ratio of ours to each other arm, as medians
    over the rounds."""
    figures = {f"{name}_tokens_per_s_at_{batch}": np.median(speeds[name]) for name in speeds}
    for name in ("good", "textbook", "sentence_vae"):
        ratios = np.divide(speeds["ours"], speeds[name])
        figures[f"ratio_to_{name}_at_{batch}"] = np.median(ratios)
    # Where the best arithmetic is fp32 there are no arms of another.
    ours, good = (speeds.get(f"{name}_fp32", speeds[name]) for name in ("ours", "good"))
    figures[f"fp32_ratio_to_good_at_{batch}"] = np.median(np.divide(ours, good))
    return {name: float(value) for name, value in figures.items()}


def flops_per_token(config: ModelConfig, vocab: int) -> float:
    """Return the operations of our step's matrix products for a real token: those forwards, and
    twice as many backwards."""
    gates = 3 * config.hidden
    encoder = 2 * gates * (config.embed + config.hidden)
    decoder = gates * (config.embed + config.latent + config.hidden)
    output = (config.hidden + config.latent) * config.embed + config.embed * vocab
    return 3.0 * 2 * (encoder + decoder + output)


class StepSpec(NamedTuple):
    """How an arm's step computes and updates the weights."""

    precision: str
    """`fp32`, or `bf16` for autocast."""
    fused: bool
    """Whether Adam and the norm of the gradient take all weights at once."""
    clip_norm: float | None


class TrainingArm:
    """A network that trains; a call is a round of so many steps."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        batch_at: Callable[[int], Batch],
        spec: StepSpec,
        steps: int,
    ) -> None:
        self.model, self._loss, self._steps = model, loss, steps
        self._batch_at, self._spec = batch_at, spec
        self._optimizer = torch.optim.Adam(model.parameters(), fused=spec.fused or None)
        self._generator = torch.Generator().manual_seed(0)
        self._step = 0

    def __call__(self) -> int:
        """Train for a round and return how many tokens the decoder was asked for."""
        tokens_asked = 0
        for _ in range(self._steps):
            batch = self._batch_at(self._step)
            tokens, lengths = torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)
            self._optimizer.zero_grad(set_to_none=True)
            with autocast(self._spec.precision):
                loss = self._loss(tokens, lengths, self._generator)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
            if self._spec.clip_norm is not None:
                nn.utils.clip_grad_norm_(
                    self.model.parameters(), self._spec.clip_norm, foreach=self._spec.fused
                )
            self._optimizer.step()
            self._step += 1
            tokens_asked += int(lengths.sum()) - len(lengths)
        return tokens_asked


def training_arms(
    config: ModelConfig, vocab: int, sentences: list[list[int]], batch: int, steps: int
) -> dict[str, TrainingArm]:
    """Return all arms by name; those of one network begin with the same weights."""
    batches = Batches(store_tokens(sentences, TOKENS_MAX).store, batch, seed=0)

    def at_random(step: int) -> Batch:
        first = step * batch % len(sentences)
        return batch_of(sentences[first : first + batch])

    def by_length(step: int) -> Batch:
        return batches.at(*divmod(step, batches.per_epoch))

    torch.manual_seed(0)
    weights = SentenceVae(config, vocab).state_dict()
    arms = {}
    best = arithmetic("auto")
    for precision in dict.fromkeys((best, "fp32")):
        suffix = "" if precision == best else f"_{precision}"
        spec = StepSpec(precision, fused=True, clip_norm=CLIP_NORM)
        ours, good = SentenceVae(config, vocab), TorchVae(config, vocab)
        for model in (ours, good):
            model.load_state_dict(weights)
        arms[f"ours{suffix}"] = TrainingArm(ours, partial(our_loss, ours), by_length, spec, steps)
        arms[f"good{suffix}"] = TrainingArm(good, partial(good_loss, good), by_length, spec, steps)
    textbook = TorchVae(config, vocab)
    textbook.load_state_dict(weights)
    spec = StepSpec("fp32", fused=False, clip_norm=CLIP_NORM)
    loss = partial(textbook_loss, textbook)
    arms["textbook"] = TrainingArm(textbook, loss, at_random, spec, steps)
    published = PublishedVae(config, vocab)
    # Sentence-VAE leaves its gradients as they are.
    spec, loss = spec._replace(clip_norm=None), partial(published_loss, published)
    arms["sentence_vae"] = TrainingArm(published, loss, at_random, spec, steps)
    return arms


def our_loss(
    model: SentenceVae, tokens: Tensor, lengths: Tensor, generator: torch.Generator
) -> Tensor:
    """(batch, time), (batch,) -> (), nats per sentence: that of `training/`, with nothing dropped,
    as the other arms of this network drop nothing."""
    return vae_loss(
        model,
        tokens,
        lengths,
        objective=TrainingConfig().objective,
        kl_weight=1.0,
        free_bits=0.0,
        dropout=DropoutSpec(0.0, 0.0, 0.0, generator),
    ).total
