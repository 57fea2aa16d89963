"""Arms of the same work, interleaved in one run, as medians and ratios; and the machine's peaks."""

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
    """One of the implementations that are timed."""

    name: str
    run: Callable[[], int]
    """Does a round and returns how many units of work it was."""


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
    """Return the units a second of each arm: all in turn, `rounds` times after a warm-up round."""
    speeds: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for number in range(rounds + 1):
        for arm in arms:
            start_s = time.perf_counter()
            units = arm.run()
            if number:
                speeds[arm.name].append(units / (time.perf_counter() - start_s))
    return speeds


def measure_arms(name: str, unit: str, slow: Arm, fast: Arm, rounds: int, target: float) -> Result:
    """Time two arms and return the median ratio of the fast one to the slow one."""
    load_before = os.getloadavg()[0]
    speeds = time_interleaved((slow, fast), rounds)
    figures = {f"{arm}_{unit}_per_s": statistics.median(values) for arm, values in speeds.items()}
    ratios = [one / other for one, other in zip(speeds[fast.name], speeds[slow.name], strict=True)]
    figures |= {"ratio": statistics.median(ratios), "rounds": float(rounds)}
    held = figures["ratio"] >= target
    return Result(name, describe_machine(), load_before, figures, {"ratio": target}, held)


def describe_machine() -> str:
    """Return the processor, the threads of this process, torch and its best arithmetic."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    machine += f", torch {torch.__version__}, {arithmetic('auto')}"
    return f"{machine}, {torch.backends.cpu.get_cpu_capability()}"


def gemm_peak(kind: str = "fp32") -> float:
    """Return the operations a second of the fastest matrix product here, in `fp32` or `bf16`."""
    size = 1024
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    layer, rows = Linear(torch.randn(size, size)), torch.randn(size, size)
    low = rows.to(kinds[kind])
    times_s = [_best_s(lambda: low @ low)]
    try:
        by_onednn = pack_onednn(layer, size, kinds[kind])
        times_s.append(_best_s(lambda: by_onednn(rows)))
    except (AttributeError, NotImplementedError, RuntimeError):
        log.info("no oneDNN here: the peak is that of torch's product and of C's")
    library = native()
    if library is not None and kind == "fp32":
        in_c = pack_panels(layer, library)
        times_s.append(_best_s(lambda: in_c(rows)))
    return 2.0 * size**3 / min(times_s)


def read_peak(size: int) -> float:
    """Return the bytes a second at which `size` bytes are read again and again, from whatever cache
    has them."""
    values = torch.randn(size // 4)
    return size / _best_s(values.sum)


def _best_s(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of 30 runs."""
    return min(timeit.repeat(work, number=1, repeat=30))


def random_sentences(count: int, vocab: int) -> list[list[int]]:
    """Return token ids of sentences of 3 to 60 tokens, 22 in the mean, the same at every call."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.gamma(*LENGTHS, count), 3, 60).astype(int)
    return [random.integers(4, vocab, length).tolist() for length in lengths]


def json_line(result: Result) -> dict[str, Any]:
    """Return the result as JSON values, figures with four digits."""
    figures = {name: float(f"{value:.4g}") for name, value in result.figures.items()}
    return {**result._asdict(), "figures": figures}
