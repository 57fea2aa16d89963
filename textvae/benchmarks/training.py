"""The benchmark of a training step: a textbook's, a good one, and ours, on the same network."""

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from textvae.benchmarks.arms import (
    Arm,
    Result,
    gemm_peak,
    machine_words,
    made_up_sentences,
    time_interleaved,
)
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.model.losses import vae_loss
from textvae.model.network import DropoutSpec, SentenceVae, pool, reverse
from textvae.model.posterior import Posterior
from textvae.text.batches import Batch, Batches, batch_of, store_tokens
from textvae.text.tokenizer import PAD
from textvae.training.loop import arithmetic, autocast

# Of ours to the textbook's, by sentences a step.
TARGETS = {32: 4.0, 128: 5.5}
FP32_TARGET = 1.8
"""Of ours to the good one, both in fp32."""
TOKENS_MAX = 64


def bench_train(quick: bool) -> Result:
    """A step of 32 and of 128 sentences. Textbook: random batches, packed GRUs, fp32, softmax over
    padding too, plain Adam. Good: sentences of like length together, real tokens alone, autocast
    where the processor has bf16, fused Adam. Ours: the step of `training/`. Both in fp32 too."""
    config = ModelConfig(embed=64, hidden=128, latent=16) if quick else ModelConfig()
    vocab, load_before = 1000 if quick else 8192, os.getloadavg()[0]
    sentences = made_up_sentences(1024 if quick else 4096, vocab)
    flops = flops_per_token(config, vocab)
    peak = gemm_peak(arithmetic("auto"))
    figures, targets = {"peak_gflops": peak / 1e9}, {}
    for batch, target in TARGETS.items():
        arms = _arms(config, vocab, sentences, batch, 1 if quick else 256 // batch)
        found = time_interleaved(arms, 2 if quick else 7)
        ours, textbook, good = (found[name] for name in ("ours", "textbook", "good"))
        figures |= {
            f"{name}_tokens_per_s_at_{batch}": float(np.median(found[name])) for name in found
        }
        figures[f"ratio_to_textbook_at_{batch}"] = float(np.median(np.divide(ours, textbook)))
        figures[f"ratio_to_good_at_{batch}"] = float(np.median(np.divide(ours, good)))
        figures[f"share_of_peak_at_{batch}"] = flops * float(np.median(ours)) / peak
        ours, good = (found.get(f"{name}_fp32", found[name]) for name in ("ours", "good"))
        figures[f"fp32_ratio_to_good_at_{batch}"] = float(np.median(np.divide(ours, good)))
        targets[f"ratio_to_textbook_at_{batch}"] = target
        targets[f"fp32_ratio_to_good_at_{batch}"] = FP32_TARGET
    held = all(figures[name] >= target for name, target in targets.items())
    return Result("train", machine_words(), load_before, figures, targets, held)


def flops_per_token(config: ModelConfig, vocab: int) -> float:
    """Of the matrix products of a step, forwards and twice as many backwards, on real tokens."""
    gates = 3 * config.hidden
    encoder = 2 * gates * (config.embed + config.hidden)
    decoder = gates * (config.embed + config.latent + config.hidden)
    output = (config.hidden + config.latent) * config.embed + config.embed * vocab
    return 3.0 * 2 * (encoder + decoder + output)


def packed_posterior(model: SentenceVae, tokens: Tensor, lengths: Tensor) -> Posterior:
    """(batch, time), (batch,) -> Posterior, as most write it: packed, in the order of arrival."""
    pooled = []
    for gru, read in (
        (model.encoder.forward_gru, tokens),
        (model.encoder.backward_gru, reverse(tokens, lengths)),
    ):
        embedded = model.embedding(read)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(gru(packed)[0], batch_first=True)
        pooled.append(pool(states, lengths))
    return model.encoder.posterior(torch.cat(pooled, 1))


class _Run:
    """One arm's network on its way; a call is a round."""

    def __init__(self, model: SentenceVae, way: "_Way", steps: int) -> None:
        self.model, self.way, self.steps = model, way, steps
        self.optimizer = torch.optim.Adam(model.parameters(), fused=way.fused)
        self.chance = torch.Generator().manual_seed(0)
        self.step = 0

    def __call__(self) -> int:
        """Steps -> the tokens that were learned to be written."""
        done = 0
        for _ in range(self.steps):
            made = self.way.batch(self.step)
            tokens, lengths = torch.from_numpy(made.tokens), torch.from_numpy(made.lengths)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.way.loss(self.model, tokens, lengths, self.chance)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
            nn.utils.clip_grad_norm_(self.model.parameters(), 5.0, foreach=self.way.fused)
            self.optimizer.step()
            self.step += 1
            done += int(lengths.sum()) - len(lengths)
        return done


class _Way(NamedTuple):
    """How a step is made."""

    batch: Callable[[int], Batch]
    loss: Callable[[SentenceVae, Tensor, Tensor, torch.Generator], Tensor]
    fused: bool


def _arms(
    config: ModelConfig, vocab: int, sentences: list[list[int]], batch: int, steps: int
) -> list[Arm]:
    """All arms, each with a network of its own that begins alike."""
    batches = Batches(store_tokens(sentences, TOKENS_MAX).store, batch, seed=0)

    def at_random(step: int) -> Batch:
        first = step * batch % len(sentences)
        return batch_of(sentences[first : first + batch])

    def by_length(step: int) -> Batch:
        return batches.at(*divmod(step, batches.per_epoch))

    ways = {"textbook": _Way(at_random, _textbook_loss, fused=False)}
    best = arithmetic("auto")
    for precision in dict.fromkeys((best, "fp32")):
        name = "" if precision == best else f"_{precision}"
        ways[f"good{name}"] = _Way(by_length, partial(_good_loss, precision), fused=True)
        ways[f"ours{name}"] = _Way(by_length, partial(_our_loss, precision), fused=True)
    arms = []
    for name, way in ways.items():
        torch.manual_seed(0)
        arms.append(Arm(name, _Run(SentenceVae(config, vocab), way, steps)))
    return arms


def _textbook_loss(
    model: SentenceVae, tokens: Tensor, lengths: Tensor, chance: torch.Generator
) -> Tensor:
    """Padding pays in full."""
    posterior = packed_posterior(model, tokens, lengths)
    written = _everywhere(model, tokens[:, :-1], posterior.sample(chance))
    logits = functional.linear(written, model.embedding.weight, model.decoder.bias)
    log_probs = functional.log_softmax(logits, 2).flatten(0, 1)
    nats = functional.nll_loss(
        log_probs, tokens[:, 1:].flatten(), ignore_index=PAD, reduction="sum"
    )
    return nats / len(tokens) + posterior.kl().sum(1).mean()


def _good_loss(
    precision: str, model: SentenceVae, tokens: Tensor, lengths: Tensor, chance: torch.Generator
) -> Tensor:
    """What torch gives whoever knows it well."""
    with autocast(precision):
        posterior = model.encode(tokens, lengths)
        written = _everywhere(model, tokens[:, :-1], posterior.sample(chance))
        real = tokens[:, 1:] != PAD
        logits = functional.linear(written[real], model.embedding.weight, model.decoder.bias)
        nats = functional.cross_entropy(logits.float(), tokens[:, 1:][real], reduction="sum")
        return nats / len(tokens) + posterior.kl().sum(1).mean()


def _our_loss(
    precision: str, model: SentenceVae, tokens: Tensor, lengths: Tensor, chance: torch.Generator
) -> Tensor:
    """That of `training/`, with nothing dropped, as the others drop nothing."""
    with autocast(precision):
        return vae_loss(
            model,
            tokens,
            lengths,
            objective=TrainingConfig().objective,
            kl_weight=1.0,
            free_bits=0.0,
            dropout=DropoutSpec(0.0, 0.0, 0.0, chance),
        ).total


def _everywhere(model: SentenceVae, tokens: Tensor, latents: Tensor) -> Tensor:
    """(batch, time), (batch, latent) -> (batch, time, embed), padding and all."""
    states = model.decoder.states(model.embedding(tokens), latents)
    every_step = latents[:, None].expand(-1, states.shape[1], -1)
    return cast(Tensor, model.decoder.output(torch.cat([states, every_step], 2)))
