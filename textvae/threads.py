"""How many threads compute, and how they wait for each other.

OpenMP reads its environment once, when torch is loaded: a command calls `configure_threads` before
it imports what needs torch.
"""

import math
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple

SPIN_COUNT = "10000"
"""Turns of the loop in which a thread waits at a barrier before it sleeps; libgomp's are 300,000.

A longer wait is mostly for a thread whose core another process has, and takes the core from it.
Training steps a second on 2 cores (hidden 512, batch 128), of libgomp's own while idle: 0.98 idle
and 0.52 next to one busy process a core, against 1 and 0.33. OMP_WAIT_POLICY=passive, which is no
turn at all, has 0.68 and 0.47.
"""
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""What says how threads of libgomp wait; KMP_* is Intel's."""


class CoreLimits(NamedTuple):
    """What limits the cores of this process."""

    affinity: int
    """Cores that the scheduler may run it on."""
    quota: float = math.inf
    """Cores' worth of time that its control groups grant; infinite for no limit."""

    @property
    def cores(self) -> int:
        """Threads that can compute at the same time, at least 1.

        A quota is rounded down: a thread more would use it up before its period ends, and all wait
        at the next barrier until the kernel lets the last one go on, up to 0.1 s. What is left over
        goes to the threads that compute nothing, such as those of calls.
        """
        return max(1, math.floor(min(self.affinity, self.quota)))

    def __str__(self) -> str:
        quota = "none" if math.isinf(self.quota) else _count(self.quota, "core")
        return f"{_count(self.affinity, 'core')} by affinity, quota of the cgroup {quota}"


def available_cores() -> int:
    """Return how many threads of this process can compute at the same time, at least 1."""
    return core_limits().cores


def available_threads(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many threads compute: OMP_NUM_THREADS where it is a number, else one a core."""
    chosen = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(chosen) if chosen.isdecimal() and int(chosen) else available_cores()


def core_limits(root: Path = Path("/")) -> CoreLimits:
    """Return the limits of this process; /proc and the cgroup file systems lie under `root`.

    A system without control groups has no quota.
    """
    if hasattr(os, "sched_getaffinity"):
        affinity = len(os.sched_getaffinity(0))
    else:
        affinity = os.cpu_count() or 1
    return CoreLimits(affinity, min(_quotas(root), default=math.inf))


def configure_threads(environment: MutableMapping[str, str] = os.environ) -> str:
    """Set what OpenMP reads when torch is loaded; return the number of threads in words.

    What the user has set stays: OMP_NUM_THREADS, and any variable that says how threads wait.
    """
    if not any(name in WAITING or name.startswith("KMP_") for name in environment):
        environment["GOMP_SPINCOUNT"] = SPIN_COUNT
    limits = core_limits()
    if chosen := environment.get("OMP_NUM_THREADS"):
        return f"OMP_NUM_THREADS is {chosen}: {limits}"
    environment["OMP_NUM_THREADS"] = str(limits.cores)
    return threads_words(limits.cores, limits)


def threads_words(threads: int, limits: CoreLimits) -> str:
    """Return, for the log, how many threads compute and what limits them."""
    return f"{_count(threads, 'thread')}: {limits}"


def _count(number: float, noun: str) -> str:
    """Return the number with its noun: `1 core`, `1.5 cores`."""
    return f"{number:g} {noun}{'s' * (number != 1)}"


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quota of each control group of this process that has one, in cores.

    A group's time is also that of all groups above it, so the smallest one counts.
    """
    for mount in _mounts(root):
        for folder in (mount.group, *mount.group.parents):
            quota = _quota_v2(folder) if mount.version == 2 else _quota_v1(folder)
            if quota is not None:
                yield quota
            if folder == mount.point:
                break


class _Mount(NamedTuple):
    """A mounted hierarchy of control groups that limits processors."""

    version: int
    point: Path
    group: Path
    """The folder of this process's group, at or below `point`."""


def _mounts(root: Path) -> Iterator[_Mount]:
    """Yield the hierarchies of this process (proc(5), cgroups(7))."""
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        shown, point = before.split()[3:5]
        kind, _, options = after.split()[:3]
        name = {"cgroup2": "", "cgroup": "cpu"}.get(kind)
        if name is None or name not in groups or (name and name not in options.split(",")):
            continue
        # The mount shows its file system from the folder `shown` on; in a container that is the
        # container's own group, which /proc names by a path outside it.
        inside = groups[name].removeprefix(shown.rstrip("/")).lstrip("/")
        folder = root / point.lstrip("/")
        group = folder / inside
        version = 2 if kind == "cgroup2" else 1
        yield _Mount(version, folder, group if group.is_dir() else folder)


def _quota_v2(folder: Path) -> float | None:
    """Return the quota of cpu.max, `QUOTA PERIOD` in microseconds; None for `max` or no file."""
    for line in _lines(folder / "cpu.max"):
        quota, period = line.split()
        return None if quota == "max" else int(quota) / int(period)
    return None


def _quota_v1(folder: Path) -> float | None:
    """Return cpu.cfs_quota_us over cpu.cfs_period_us; None for a quota of -1 or no file."""
    files = (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
    for quota, period in zip(*map(_lines, files), strict=True):
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _lines(path: Path) -> list[str]:
    """Return the lines of a file of the kernel; none where it has no such file or gives none."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
