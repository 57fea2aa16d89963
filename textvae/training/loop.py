"""The loop: one phase of training, from its newest checkpoint to its last step.

A phase is a model with something to make smaller: the VAE, then the language model. All chance
comes from one generator whose state is checkpointed, and a batch is a function of (seed, epoch,
step), so a phase that was killed and goes on ends with the weights of one that was left alone.
"""

import contextlib
import ctypes
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from textvae.config.training import TrainingConfig
from textvae.errors import InputError
from textvae.model.schedules import RATE_STEPS, KLController
from textvae.model.tensors import tensors_of
from textvae.progress import ProgressCallback
from textvae.text.batches import Batch, Batches
from textvae.training.checkpoint import (
    Progress,
    load_best,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from textvae.training.metrics import Metrics
from textvae.training.ranks import SEED_STRIDE, current_ranks

log = logging.getLogger(__name__)

# The peak falls along half a cosine to this share of itself.
LEARNING_RATE_END = 0.1


class Step(NamedTuple):
    """What a phase made of one batch."""

    loss: Tensor
    """() to be differentiated."""
    figures: Mapping[str, float]
    """What metrics.jsonl says of it."""


class Phase(NamedTuple):
    """One model and how it learns."""

    name: str
    model: nn.Module
    steps: int
    step: Callable[[Tensor, Tensor, int, float, torch.Generator], Step]
    """(tokens (batch, time), lengths (batch,), step, the KL weight's factor, generator) -> Step."""
    hold: Callable[[KLController], KLController] | None = None
    """The controller of the KL after its look at the held-out side, every RATE_STEPS steps."""
    validate: Callable[[int], Mapping[str, float]] | None = None
    """Figures of the held-out side after a step; may raise CollapsedError."""
    looks: frozenset[int] = frozenset()
    """Steps after which the held-out side is looked at, beside every `validation_steps`."""
    score: str = ""
    """The held-out figure whose smallest value marks the weights to keep; empty: the last ones."""
    begin: KLController = KLController()
    """The controller of the KL before the first step."""


def fit(
    phase: Phase, batches: Batches, config: TrainingConfig, run: Path, on_progress: ProgressCallback
) -> KLController:
    """Train `phase.model` in place to its last step; checkpoints and metrics go to `run`.

    Goes on from the newest whole checkpoint; returns the KL's controller in the end. On SIGTERM or
    Ctrl-C it saves one and raises KeyboardInterrupt. Raises CollapsedError, InputError, OSError.
    """
    ranks = current_ranks()
    generator = torch.Generator().manual_seed(config.seed + SEED_STRIDE * ranks.number)
    optimizer = torch.optim.Adam(phase.model.parameters(), lr=config.learning_rate, fused=True)
    folder = run / "checkpoints" / phase.name
    best = folder / "best.safetensors"
    progress = _progress(phase, folder, optimizer, generator)
    metrics = Metrics(run / "metrics.jsonl", phase.name, ranks)
    metrics.go_on(progress.step, phase.steps)
    phase.model.train()
    saved_s = logged_s = time.monotonic()
    with _stop_flag() as stopped:
        for step in range(progress.step, phase.steps):
            batch = batches.at(*divmod(step, batches.per_epoch))
            rate = learning_rate(config, step, phase.steps)
            made = _differentiate(phase, config, batch, progress, generator)
            norm = _descend(phase.model, optimizer, rate, config.clip)
            progress = progress._replace(
                step=step + 1, controller=_control_kl(phase, progress, step + 1)
            )
            on_progress(phase.name, step + 1, phase.steps, made.figures)
            now_s = time.monotonic()
            if (step + 1) % config.log_steps == 0:
                figures = {**made.figures, "learning_rate": rate, "gradient_norm": norm}
                figures["sentences_per_s"] = config.log_steps * len(batch.rows) / (now_s - logged_s)
                metrics.write(step + 1, figures)
                logged_s = now_s
            if phase.validate and _due(step + 1, config.validation_steps, phase):
                with _in_use(phase.model):
                    seen = phase.validate(step + 1)
                metrics.write(step + 1, seen)
                progress = _keep_best(progress, seen, phase, best)
            ending, due = ranks.any(stopped(), now_s - saved_s >= config.checkpoint_s)
            if ending or due:
                save_checkpoint(folder, progress, phase.model, optimizer, generator, ranks)
                saved_s = now_s
                _give_memory_back()
            if ending:
                raise KeyboardInterrupt
    save_checkpoint(folder, progress, phase.model, optimizer, generator, ranks)
    if phase.score:
        load_best(best, phase.model)
    _give_memory_back()
    phase.model.eval()
    return progress.controller


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """The step size of Adam: a linear rise, then half a cosine (Loshchilov & Hutter 2017)."""
    risen = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    fallen = 0.5 * (1 + math.cos(math.pi * step / steps))
    return config.learning_rate * risen * (LEARNING_RATE_END + (1 - LEARNING_RATE_END) * fallen)


def arithmetic(precision: str, device: str = "cpu") -> str:
    """The arithmetic of matrix products on this machine: `bf16` or `fp32`."""
    if precision == "auto":
        # Emulated bf16 is slower than fp32, so only a processor with the instructions takes it.
        fast = device == "cuda" or torch.cpu._is_avx512_bf16_supported()
        return "bf16" if fast else "fp32"
    return precision


def autocast(precision: str, device: str = "cpu") -> torch.autocast:
    """The context in which a training step computes; weights and their sums stay float32."""
    return torch.autocast(device, torch.bfloat16, enabled=arithmetic(precision, device) == "bf16")


def _progress(
    phase: Phase, folder: Path, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> Progress:
    """Where the phase stands: at its newest whole checkpoint, or at its beginning."""
    found = load_checkpoint(folder, phase.model, optimizer, generator, current_ranks())
    progress = found or Progress(0, phase.begin)
    log.info("%s: begins at step %d of %d", phase.name, progress.step, phase.steps)
    return progress


def _differentiate(
    phase: Phase,
    config: TrainingConfig,
    batch: Batch,
    progress: Progress,
    generator: torch.Generator,
) -> Step:
    """What the next step makes of a batch, with the gradients of the whole batch on all ranks."""
    ranks = current_ranks()
    own = ranks.share_of(batch)
    with autocast(config.precision, config.device):
        tensors = tensors_of(own, config.device)
        made = phase.step(*tensors, progress.step, progress.controller.factor, generator)
    made.loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
    ranks.average(phase.model, len(own.rows) / len(batch.rows))
    return made


def _descend(model: nn.Module, optimizer: torch.optim.Optimizer, rate: float, clip: float) -> float:
    """One step of the optimizer, which leaves no gradient; returns its norm before it was clipped.

    InputError where the run has diverged.
    """
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip, foreach=True)
    if not math.isfinite(norm):
        # Before the weights are touched, so that the checkpoints on the disk stay good.
        raise InputError(
            "training.learning_rate",
            f"the loss or its gradient is no longer finite at a step size of {rate:.3g}; lower it, "
            "or lower training.clip",
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(norm)


def _give_memory_back() -> None:
    """Hand the allocator's holes to the system.

    Batches of many shapes leave hundreds of MiB a minute, which glibc keeps; other allocators have
    no such call and need none.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def _in_use(model: nn.Module) -> Iterator[None]:
    """Inside, the model is as it is used and not as it learns."""
    model.eval()
    yield
    model.train()


def _control_kl(phase: Phase, progress: Progress, step: int) -> KLController:
    """The controller of the KL after a step."""
    if phase.hold is None or step % RATE_STEPS:
        return progress.controller
    with _in_use(phase.model):
        return phase.hold(progress.controller)


def _keep_best(
    progress: Progress, figures: Mapping[str, float], phase: Phase, best: Path
) -> Progress:
    """The progress after a look; the best weights so far are in the file `best`."""
    if phase.score and figures[phase.score] < progress.best_nats:
        if current_ranks().first:
            save_best(best, phase.model)
        progress = progress._replace(best_nats=figures[phase.score])
    return progress


def _due(step: int, every: int, phase: Phase) -> bool:
    """Whether a look is due: every so many steps (0: never), when asked for, and at the last."""
    return step == phase.steps or step in phase.looks or (every > 0 and step % every == 0)


@contextlib.contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM and Ctrl-C only raise a flag: a step is never cut in two."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:
        # Signals reach the main thread only; elsewhere nobody can ask.
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
