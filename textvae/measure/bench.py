"""Benchmarks: two arms of the same work in one run, interleaved, as medians and a ratio."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from textvae.config import ModelConfig, TrainingConfig
from textvae.model.losses import vae_loss
from textvae.model.network import Dropped, SentenceVae
from textvae.text.batches import Batches, batch_of, store_tokens
from textvae.training.loop import arithmetic, autocast


class Arm(NamedTuple):
    """One way to do the work."""

    name: str
    run: Callable[[], int]
    """Does one round and returns how many units of work that was."""


class Result(NamedTuple):
    """The one line that a benchmark ends with."""

    name: str
    machine: str
    load_before: float
    """Processes that wanted the processor in the minute before: about 0 on an idle machine."""
    figures: dict[str, float]
    targets: dict[str, float]
    held: bool


def measured(name: str, unit: str, slow: Arm, fast: Arm, rounds: int, target: float) -> Result:
    """Both arms in turn, `rounds` times after one round of warming up."""
    load_before = os.getloadavg()[0]
    speeds: dict[str, list[float]] = {slow.name: [], fast.name: []}
    for number in range(rounds + 1):
        for arm in (slow, fast):
            start_s = time.perf_counter()
            units = arm.run()
            if number:
                speeds[arm.name].append(units / (time.perf_counter() - start_s))
    figures = {f"{arm}_{unit}_per_s": statistics.median(found) for arm, found in speeds.items()}
    ratios = [one / other for one, other in zip(speeds[fast.name], speeds[slow.name], strict=True)]
    figures |= {"ratio": statistics.median(ratios), "rounds": float(rounds)}
    held = figures["ratio"] >= target
    return Result(name, machine_words(), load_before, figures, {"ratio": target}, held)


def machine_words() -> str:
    """What figures are of: processor, threads of this process, torch, its best arithmetic."""
    found = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    found += f", torch {torch.__version__}, {arithmetic('auto')}"
    return f"{found}, {torch.backends.cpu.get_cpu_capability()}"


def bench_train(quick: bool) -> Result:
    """Our training step against a textbook's: random batches, all positions, fp32, plain Adam."""
    config = ModelConfig(embed=64, hidden=128, latent=16) if quick else ModelConfig()
    vocab, batch = (1000, 32) if quick else (8192, 128)
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 40, (batch * 8,), generator=random)
    sentences = [
        torch.randint(4, vocab, (int(length),), generator=random).tolist() for length in lengths
    ]
    batches = Batches(store_tokens(sentences, 64).store, batch, seed=0)
    steps = 1 if quick else 4
    arms = _textbook(config, vocab, sentences, batch, steps), _ours(config, vocab, batches, steps)
    return measured("train", "tokens", *arms, 3 if quick else 7, 2.5)


def _textbook(
    config: ModelConfig, vocab: int, sentences: list[list[int]], batch: int, steps: int
) -> Arm:
    """The step as most write it, on the same network: padding pays in full."""
    model = SentenceVae(config, vocab)
    optimizer = torch.optim.Adam(model.parameters())
    chance = torch.Generator().manual_seed(0)

    def run() -> int:
        done = 0
        for step in range(steps):
            first = step * batch % len(sentences)
            made = batch_of(sentences[first : first + batch])
            tokens, lengths = torch.from_numpy(made.tokens), torch.from_numpy(made.lengths)
            posterior = model.encode(tokens, lengths)
            hidden = _everywhere(model, tokens[:, :-1], posterior.sample(chance))
            logits = functional.linear(hidden, model.embedding.weight, model.decoder.bias)
            nats = functional.cross_entropy(
                logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=0, reduction="sum"
            )
            _learn(model, optimizer, nats / batch + posterior.kl().sum(1).mean())
            done += int(lengths.sum())
        return done

    return Arm("textbook", run)


def _everywhere(model: SentenceVae, tokens: Tensor, latents: Tensor) -> Tensor:
    """(batch, time), (batch, latent) -> (batch, time, embed), padding and all."""
    states = model.decoder.states(model.embedding(tokens), latents)
    every_step = latents[:, None].expand(-1, states.shape[1], -1)
    return cast(Tensor, model.decoder.output(torch.cat([states, every_step], 2)))


def _ours(config: ModelConfig, vocab: int, batches: Batches, steps: int) -> Arm:
    """The step of `training/`."""
    model = SentenceVae(config, vocab)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    dropped = Dropped(0.0, 0.0, 0.0, torch.Generator().manual_seed(0))
    objective = TrainingConfig().objective

    def run() -> int:
        done = 0
        for step in range(steps):
            made = batches.at(0, step % batches.per_epoch)
            tokens, lengths = torch.from_numpy(made.tokens), torch.from_numpy(made.lengths)
            with autocast("auto"):
                loss = vae_loss(
                    model,
                    tokens,
                    lengths,
                    objective=objective,
                    kl_weight=1.0,
                    free_bits=0.0,
                    dropped=dropped,
                )
            _learn(model, optimizer, loss.total)
            done += int(lengths.sum())
        return done

    return Arm("ours", run)


def _learn(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Backward, clip, step."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
    nn.utils.clip_grad_norm_(model.parameters(), 5.0, foreach=True)
    optimizer.step()


def line_of(result: Result) -> dict[str, Any]:
    """The result as JSON values, figures with four digits."""
    figures = {name: float(f"{value:.4g}") for name, value in result.figures.items()}
    return {**result._asdict(), "figures": figures}
