"""Threads: as many as the process has cores, by affinity and by quota, and named in the log."""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.job_runs import MODEL, ROOT, prepared
from textvae.client import Client
from textvae.experiments.workers import threads_of
from textvae.store.versions import list_versions
from textvae.threads import (
    SPIN_COUNT,
    CoreLimits,
    available_cores,
    available_threads,
    configure_threads,
    core_limits,
)

CORE = min(os.sched_getaffinity(0))
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("3", 3), (" 4 , 2", 4)])
def test_as_many_threads_compute_as_the_environment_says(said: str, threads: int) -> None:
    assert available_threads({"OMP_NUM_THREADS": said}) == threads


@pytest.mark.parametrize("said", [{}, {"OMP_NUM_THREADS": ""}, {"OMP_NUM_THREADS": "0"}])
def test_a_thread_a_core_computes_where_the_environment_says_nothing(said: dict[str, str]) -> None:
    assert available_threads(said) == available_cores()


def on_one_core(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A Python process that may run on one core, with an environment that says nothing of it."""
    free = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**free, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {CORE}),
    )


def output_on_one_core(folder: Path, *words: str) -> tuple[str, str]:
    """What such a process wrote to stdout and to stderr, once it ended well."""
    with on_one_core(folder, *words) as process:
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return stdout, stderr


def fake_system(root: Path, groups: str, mounts: str, files: Mapping[str, str]) -> Path:
    """A folder that holds the files that Linux shows of control groups."""
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


V2 = "31 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 25 0:29 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu,cpuacct"
V1_INSIDE = "33 25 0:29 /docker/abc /sys/fs/cgroup/cpu ro master:1 - cgroup cgroup rw,cpu,cpuacct"
MEMORY = "34 25 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "quota"),
    [
        ("0::/a", V2, {"sys/fs/cgroup/a/cpu.max": "max 100000"}, math.inf),
        ("0::/a", V2, {"sys/fs/cgroup/a/cpu.max": "150000 100000"}, 1.5),
        (
            "0::/a/b",
            V2,
            {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "100000 50000"},
            2.0,
        ),
        (
            "0::/a/b",
            V2,
            {"sys/fs/cgroup/a/b/cpu.max": "50000 100000", "sys/fs/cgroup/a/cpu.max": "4 1"},
            0.5,
        ),
        # In a container the file system shows the container's own group as its root.
        ("0::/", V2, {"sys/fs/cgroup/cpu.max": "300000 100000"}, 3.0),
        ("0::/a", V2, {"sys/fs/cgroup/b/cpu.max": "100000 100000"}, math.inf),
        (
            "3:memory:/a\n2:cpu,cpuacct:/a",
            f"{MEMORY}\n{V1}",
            {
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            2.0,
        ),
        (
            "2:cpu,cpuacct:/docker/abc",
            V1_INSIDE,
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            1.0,
        ),
        ("4:memory:/a", MEMORY, {}, math.inf),
    ],
)
def test_the_quota_is_the_smallest_of_the_group_and_those_above_it(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, str], quota: float
) -> None:
    assert core_limits(fake_system(tmp_path, groups, mounts, files)).quota == quota


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert core_limits(tmp_path) == CoreLimits(len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("limits", "cores", "words"),
    [
        (CoreLimits(64), 64, "64 cores by affinity, quota of the cgroup none"),
        (CoreLimits(64, 2.0), 2, "64 cores by affinity, quota of the cgroup 2 cores"),
        (CoreLimits(64, 1.0), 1, "64 cores by affinity, quota of the cgroup 1 core"),
        (CoreLimits(64, 1.9), 1, "64 cores by affinity, quota of the cgroup 1.9 cores"),
        (CoreLimits(64, 0.25), 1, "64 cores by affinity, quota of the cgroup 0.25 cores"),
        (CoreLimits(1, 2.0), 1, "1 core by affinity, quota of the cgroup 2 cores"),
    ],
)
def test_a_quota_is_rounded_down_to_at_least_one_core(
    limits: CoreLimits, cores: int, words: str
) -> None:
    assert (limits.cores, str(limits)) == (cores, words)


def test_the_environment_gets_what_the_user_has_not_set() -> None:
    cores = str(core_limits().cores)
    environment: dict[str, str] = {}
    words = configure_threads(environment)
    assert environment == {"OMP_NUM_THREADS": cores, "GOMP_SPINCOUNT": SPIN_COUNT}
    assert re.match(rf"{cores} threads?: \d+ cores? by affinity", words)
    environment = {"OMP_NUM_THREADS": "7"}
    assert configure_threads(environment).startswith("OMP_NUM_THREADS is 7: ")
    assert environment["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_a_way_of_waiting_that_the_user_has_chosen_stays(name: str) -> None:
    environment = {name: "mine", "OMP_NUM_THREADS": "1"}
    configure_threads(environment)
    assert environment == {name: "mine", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("module", [*(f"jobs.{name}" for name in JOBS), "textvae.serve.__main__"])
def test_torch_is_not_loaded_before_the_threads_are_configured(module: str, tmp_path: Path) -> None:
    """OpenMP reads its environment when torch is loaded, and --help need not wait for it."""
    script = f"import sys, {module}; print('torch' in sys.modules)"
    assert output_on_one_core(tmp_path, "-c", script)[0] == "False\n"


def test_a_process_on_one_core_has_one_thread_for_each_purpose(tmp_path: Path) -> None:
    script = (
        "from textvae.config.serve import ServeConfig;"
        "from textvae.threads import available_cores, configure_threads;"
        "configure_threads();"
        "import torch;"
        "from textvae.engine import engine;"
        "from textvae.experiments import workers;"
        "print(available_cores(), engine.threads_of(ServeConfig()),"
        " workers.threads_of(0, 1, 'cpu'), torch.get_num_threads())"
    )
    assert output_on_one_core(tmp_path, "-c", script)[0] == "1 1 1 1\n"
    assert threads_of(3, 1, "cpu") == 3


def test_a_training_and_a_server_on_one_core_use_one_thread_and_log_it(tmp_path: Path) -> None:
    line = "1 thread: 1 core by affinity, quota of the cgroup "
    folder = prepared(tmp_path / "jobs")
    config = ("--config", "toy.toml")
    output_on_one_core(folder, "-m", "jobs.ingest", *config)
    assert line in output_on_one_core(folder, "-m", "jobs.train", *config)[1]
    [record] = folder.glob("runs/*/checkpoints/conditions.json")
    assert json.loads(record.read_bytes())["threads"] == "1"
    [version] = list_versions(folder / "registry", MODEL)
    output_on_one_core(folder, "-m", "jobs.promote", *config, "--version", version)
    flags = ("--registry", "registry", "--model", MODEL, "--port", "0")
    with on_one_core(folder, "-m", "textvae.serve", *flags) as server:
        try:
            assert server.stdout is not None
            with Client(server.stdout.readline().split()[-1]) as client:
                assert client.health()
            server.terminate()
            _, log = server.communicate(timeout=60)
        finally:
            server.kill()
    assert line in log
