"""Benchmarks: two arms of the same work in one run, interleaved, as medians and a ratio."""

import logging
import os
import platform
import statistics
import time
import timeit
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from textvae.model.native import native
from textvae.model.products import Linear, pack_onednn, pack_panels
from textvae.training.loop import arithmetic

log = logging.getLogger(__name__)

LENGTHS = (4.3, 5.1)
"""Shape and scale of a gamma distribution: lengths of sentences in tokens."""


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


def time_interleaved(arms: Sequence[Arm], rounds: int) -> dict[str, list[float]]:
    """Units a second of each arm: all in turn, `rounds` times after one round of warming up."""
    speeds: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for number in range(rounds + 1):
        for arm in arms:
            start_s = time.perf_counter()
            units = arm.run()
            if number:
                speeds[arm.name].append(units / (time.perf_counter() - start_s))
    return speeds


def measure_arms(name: str, unit: str, slow: Arm, fast: Arm, rounds: int, target: float) -> Result:
    """Two arms, and the ratio of the fast one to the slow one."""
    load_before = os.getloadavg()[0]
    speeds = time_interleaved((slow, fast), rounds)
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


def gemm_peak(kind: str = "fp32") -> float:
    """Operations a second of the fastest matrix product that was seen here, in `fp32` or `bf16`."""
    size = 1024
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    layer, rows = Linear(torch.randn(size, size)), torch.randn(size, size)
    low = rows.to(kinds[kind])
    found = [_best_s(lambda: low @ low)]
    try:
        by_onednn = pack_onednn(layer, size, kinds[kind])
        found.append(_best_s(lambda: by_onednn(rows)))
    except (AttributeError, NotImplementedError, RuntimeError):
        log.info("the peak is that of other products, for there is no oneDNN here")
    library = native()
    if library is not None and kind == "fp32":
        in_c = pack_panels(layer, library)
        found.append(_best_s(lambda: in_c(rows)))
    return 2.0 * size**3 / min(found)


def read_peak(size: int) -> float:
    """Bytes a second at which `size` bytes are read again and again, from whatever cache holds
    them."""
    values = torch.randn(size // 4)
    return size / _best_s(values.sum)


def _best_s(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs."""
    return min(timeit.repeat(work, number=1, repeat=30))


def made_up_sentences(count: int, vocab: int) -> list[list[int]]:
    """Token ids of sentences of 3 to 60 tokens, 22 in the mean."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.gamma(*LENGTHS, count), 3, 60).astype(int)
    return [random.integers(4, vocab, length).tolist() for length in lengths]


def line_of(result: Result) -> dict[str, Any]:
    """The result as JSON values, figures with four digits."""
    figures = {name: float(f"{value:.4g}") for name, value in result.figures.items()}
    return {**result._asdict(), "figures": figures}
