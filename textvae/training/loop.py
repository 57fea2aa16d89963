"""The loop: one phase of training, from its newest checkpoint to its last step.

A phase is a model and the loss that it minimizes: first the VAE's, then the language model's. All
random numbers come from one generator whose state is checkpointed, and a batch is a function of
(seed, epoch, step), so an interrupted phase ends with the weights of an uninterrupted one.
"""

import contextlib
import ctypes
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from textvae.config.training import TrainingConfig
from textvae.errors import InputError
from textvae.model.schedules import RATE_STEPS, KLController
from textvae.model.tensors import PairTensors, pair_tensors_of
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
from textvae.training.running_means import RunningMeans, StepRecord
from textvae.training.stop_signals import defer_stop_signals

log = logging.getLogger(__name__)

# The learning rate falls from its peak along half a cosine to this share of the peak.
LEARNING_RATE_END = 0.1


class StepLoss(NamedTuple):
    """The loss of one batch."""

    loss: Tensor
    """() to be differentiated."""
    nats: Mapping[str, float]
    """Its parts by name, such as `kl_nats`: means over the batch, in nats per sentence."""
    weights: Mapping[str, float] = {}
    """Weights of the parts at this step, such as `kl_weight`."""


class Phase(NamedTuple):
    """A model, its loss and its validation."""

    name: str
    """Name of the phase in metrics.jsonl, in the log and of its folder of checkpoints."""
    model: nn.Module
    """The network, trained in place."""
    steps: int
    """Steps of the whole phase."""
    training_step: Callable[[PairTensors, int, float, torch.Generator], StepLoss]
    """(batch, step, factor of the KL weight, generator) -> StepLoss."""
    kl_control: Callable[[KLController], KLController] | None = None
    """The controller's update from the held-out KL, every RATE_STEPS steps; None: no control."""
    validation: Callable[[int], Mapping[str, float]] | None = None
    """Held-out figures after a step; may raise CollapsedError."""
    validation_steps: frozenset[int] = frozenset()
    """Steps after which the phase is validated, in addition to every `validation_steps` of the
    settings and to the last step."""
    selection_score: str = ""
    """The held-out figure whose smallest value selects the weights; empty: the last weights."""
    initial_controller: KLController = KLController()
    """The controller of the KL before the first step."""


def fit(
    phase: Phase, batches: Batches, config: TrainingConfig, run: Path, on_progress: ProgressCallback
) -> KLController:
    """Train `phase.model` in place to its last step; checkpoints and metrics go to `run`.

    Continues from the newest complete checkpoint and returns the final controller of the KL. The
    figures of `on_progress` and of metrics.jsonl are running means over the last `log_steps` steps.
    On SIGTERM or Ctrl-C it saves a checkpoint and raises KeyboardInterrupt. Raises CollapsedError,
    InputError, OSError.
    """
    ranks = current_ranks()
    generator = torch.Generator().manual_seed(config.seed + SEED_STRIDE * ranks.number)
    optimizer = torch.optim.Adam(phase.model.parameters(), lr=config.learning_rate, fused=True)
    folder = run / "checkpoints" / phase.name
    best = folder / "best.safetensors"
    progress = _restore_progress(phase, folder, optimizer, generator)
    metrics = Metrics(run / "metrics.jsonl", phase.name, ranks)
    metrics.resume(progress.step, phase.steps)
    means = RunningMeans(min(config.log_steps, phase.steps))
    phase.model.train()
    saved_s = time.monotonic()
    with defer_stop_signals() as stop_requested:
        while progress.step < phase.steps:
            progress, figures = _take_step(
                phase, config, batches, progress, optimizer, generator, means
            )
            on_progress(phase.name, progress.step, phase.steps, figures)
            if progress.step % config.log_steps == 0:
                metrics.write(progress.step, figures)
            if phase.validation and _is_validation_due(progress.step, config, phase):
                with _evaluation_mode(phase.model):
                    held_out = phase.validation(progress.step)
                metrics.write(progress.step, held_out)
                progress = _keep_best(progress, held_out, phase, best)
            now_s = time.monotonic()
            stop, due = ranks.any(stop_requested(), now_s - saved_s >= config.checkpoint_s)
            if stop or due:
                save_checkpoint(folder, progress, phase.model, optimizer, generator, ranks)
                saved_s = now_s
                _return_free_memory()
            if stop:
                raise KeyboardInterrupt
    save_checkpoint(folder, progress, phase.model, optimizer, generator, ranks)
    if phase.selection_score:
        load_best(best, phase.model)
    _return_free_memory()
    phase.model.eval()
    return progress.controller


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """Return Adam's step size: a linear warm-up, then half a cosine (Loshchilov & Hutter 2017).

    lr(t) = peak * min(1, (t + 1) / warmup) * (end + (1 - end) * 1/2 (1 + cos(pi * t / T))), end =
    LEARNING_RATE_END.
    """
    warmup = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return config.learning_rate * warmup * (LEARNING_RATE_END + (1 - LEARNING_RATE_END) * cosine)


def arithmetic(precision: str, device: str = "cpu") -> str:
    """Return the arithmetic of matrix products on this machine: `bf16` or `fp32`."""
    if precision == "auto":
        # Emulated bf16 is slower than fp32, so only a processor with its instructions takes it.
        fast = device == "cuda" or torch.cpu._is_avx512_bf16_supported()
        return "bf16" if fast else "fp32"
    return precision


def autocast(precision: str, device: str = "cpu") -> torch.autocast:
    """Return the context in which a training step computes; weights and sums stay float32."""
    return torch.autocast(device, torch.bfloat16, enabled=arithmetic(precision, device) == "bf16")


def _restore_progress(
    phase: Phase, folder: Path, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> Progress:
    """Return the phase's progress: that of its newest complete checkpoint, or no step yet."""
    restored = load_checkpoint(folder, phase.model, optimizer, generator, current_ranks())
    progress = restored or Progress(0, phase.initial_controller)
    log.info("%s: begins at step %d of %d", phase.name, progress.step, phase.steps)
    return progress


def _take_step(
    phase: Phase,
    config: TrainingConfig,
    batches: Batches,
    progress: Progress,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    means: RunningMeans,
) -> tuple[Progress, dict[str, float]]:
    """Take the next step; return the progress after it, and the running means with this step.

    The learning rate and the weights of the loss are this step's own.
    """
    start_s = time.monotonic()
    batch = batches.at(*divmod(progress.step, batches.per_epoch))
    share = current_ranks().share_of(batch)
    rate = learning_rate(config, progress.step, phase.steps)
    result = _differentiate(phase, config, share, len(batch.rows), progress, generator)
    norm = _descend(phase.model, optimizer, rate, config.clip)
    controller = _control_kl(phase, progress.controller, progress.step + 1)
    seconds = time.monotonic() - start_s
    means.add(StepRecord(result.nats, share, batch, seconds, norm))
    figures = {**means.figures(), **result.weights, "learning_rate": rate}
    return progress._replace(step=progress.step + 1, controller=controller), figures


def _differentiate(
    phase: Phase,
    config: TrainingConfig,
    share: Batch,
    sentences: int,
    progress: Progress,
    generator: torch.Generator,
) -> StepLoss:
    """Return the loss of this process' share of a batch of so many sentences; each parameter then
    has the gradient of the whole batch, on all ranks."""
    with autocast(config.precision, config.device):
        tensors = pair_tensors_of(share, config.device)
        result = phase.training_step(tensors, progress.step, progress.controller.factor, generator)
    result.loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
    current_ranks().average(phase.model, len(share.rows) / sentences)
    return result


def _descend(model: nn.Module, optimizer: torch.optim.Optimizer, rate: float, clip: float) -> float:
    """Take one optimizer step and drop the gradients; return their norm before it was clipped.

    Raise InputError where the run has diverged.
    """
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip, foreach=True)
    if not math.isfinite(norm):
        # Before the weights change, so that the checkpoints on disk stay good.
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


def _return_free_memory() -> None:
    """Return the allocator's free memory to the system.

    Batches of many shapes leave hundreds of MiB a minute, which glibc keeps; other allocators have
    no such call and need none.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode inside the block, and back in training mode after it."""
    model.eval()
    yield
    model.train()


def _control_kl(phase: Phase, controller: KLController, step: int) -> KLController:
    """Return the controller of the KL after a step."""
    if phase.kl_control is None or step % RATE_STEPS:
        return controller
    with _evaluation_mode(phase.model):
        return phase.kl_control(controller)


def _keep_best(
    progress: Progress, held_out: Mapping[str, float], phase: Phase, best: Path
) -> Progress:
    """Return the progress after a validation; the best weights so far are in the file `best`."""
    score = phase.selection_score
    if score and held_out[score] < progress.best_nats:
        if current_ranks().first:
            save_best(best, phase.model)
        progress = progress._replace(best_nats=held_out[score])
    return progress


def _is_validation_due(step: int, config: TrainingConfig, phase: Phase) -> bool:
    """Return whether a validation follows this step: every `validation_steps` of the settings (0:
    never), at the phase's own steps, and at the last one."""
    every = config.validation_steps
    at_interval = every > 0 and step % every == 0
    return step == phase.steps or step in phase.validation_steps or at_interval
