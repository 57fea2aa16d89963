"""The tasks of a quality table over processes: each worker runs one task after the other.

A worker is a spawned process at the other end of a pipe. It ends with the process of its table,
however that ends, so that a table that is started again soon gets the locks of its tasks.
"""

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from textvae.errors import TextVaeError
from textvae.experiments.tasks import Plan, Task, dependencies, result_of
from textvae.progress import ProgressCallback
from textvae.threads import available_threads

log = logging.getLogger(__name__)

PROGRESS_INTERVAL_S = 1.0
STOP_S = 60.0
"""The time in which a worker may save a checkpoint before it is killed."""


class Failure(NamedTuple):
    """A task that failed."""

    task: Task
    kind: str
    """Name of the error's class; empty where a dependency failed."""
    message: str


class ProgressMessage(NamedTuple):
    """A worker's report of progress."""

    what: str
    done: int
    parts: int
    figures: Mapping[str, float]


class TaskEnd(NamedTuple):
    """A worker's report of the end of a task."""

    failure: Failure | None


class Worker(NamedTuple):
    """A process and this end of its pipe."""

    process: BaseProcess
    pipe: Connection


def run_tasks(
    plan: Plan,
    tasks: Sequence[Task],
    workers: int,
    on_progress: ProgressCallback,
    done: Callable[[Task], None],
) -> list[Failure]:
    """Run all tasks that are not done, in order, each after its dependencies; return the failures.

    `done` is called in this process after each. A task that fails stops only those that need it.
    With one worker the tasks run in this process.
    """
    waiting = [task for task in tasks if result_of(plan, task) is None]
    log.info("table: %d tasks, %d of them done before", len(tasks), len(tasks) - len(waiting))
    if workers > 1:
        return _run_in_workers(plan, waiting, min(workers, len(waiting)), on_progress, done)
    failures: list[Failure] = []
    while waiting:
        task = waiting.pop(0)
        failure = _unmet_dependency(plan, task, failures) or _try_task(plan, task, on_progress)
        if failure:
            failures.append(failure)
        done(task)
    return failures


def threads_of(threads: int, workers: int, device: str) -> int:
    """Return the threads of one worker's arithmetic, where 0 derives them from the workers.

    Several workers on the CPU have one each, so that a table has the same bits on equal machines;
    with a GPU, where no bits are promised, each has its share of the cores.
    """
    if threads:
        return threads
    several = workers > 1 and device == "cpu"
    return 1 if several else max(1, available_threads() // workers)


def _run_in_workers(
    plan: Plan,
    waiting: list[Task],
    count: int,
    on_progress: ProgressCallback,
    done: Callable[[Task], None],
) -> list[Failure]:
    """Run the tasks in that many processes, as `run_tasks` says."""
    failures: list[Failure] = []
    idle = [_start_worker(plan, number) for number in range(count)]
    busy: dict[Connection, tuple[Worker, Task]] = {}
    try:
        while waiting or busy:
            unmet = [
                found for task in waiting if (found := _unmet_dependency(plan, task, failures))
            ]
            failures += unmet
            for failure in unmet:
                waiting.remove(failure.task)
            for task in _ready(plan, waiting)[: len(idle)] if idle else []:
                waiting.remove(task)
                worker = idle.pop()
                worker.pipe.send(task)
                busy[worker.pipe] = (worker, task)
            assert busy or not waiting, f"nothing can begin of {waiting}"
            for pipe in wait(list(busy)):
                worker, task = busy[pipe]  # type: ignore[index]  # only pipes were waited for
                message = _receive(worker, task)
                if isinstance(message, ProgressMessage):
                    on_progress(*message)
                    continue
                del busy[worker.pipe]
                lost = not worker.process.is_alive()
                idle.append(_start_worker(plan, len(idle)) if lost else worker)
                failures += [message.failure] if message.failure else []
                done(task)
    finally:
        _stop([*idle, *(worker for worker, _ in busy.values())])
    return failures


def _ready(plan: Plan, waiting: Sequence[Task]) -> list[Task]:
    """Return the tasks whose dependencies are done, in order."""
    needed = dict.fromkeys(other for task in waiting for other in dependencies(plan, task))
    finished = {other for other in needed if result_of(plan, other) is not None}
    return [task for task in waiting if finished.issuperset(dependencies(plan, task))]


def _unmet_dependency(plan: Plan, task: Task, failures: Sequence[Failure]) -> Failure | None:
    """Return the failure of a task whose dependency failed; None for any other task."""
    for failure in failures:
        if failure.task in dependencies(plan, task):
            return Failure(task, "", f"needs {failure.task.name}, which failed")
    return None


def _try_task(plan: Plan, task: Task, on_progress: ProgressCallback) -> Failure | None:
    """Run the task; return its failure, and raise nothing but a signal."""
    # Only a process that runs a task loads torch: one that waits for its workers does not.
    from textvae.experiments.work import run_task

    log.info("%s: begins", task.name)
    try:
        run_task(plan, task, lambda what, *rest: on_progress(f"{task.name}: {what}", *rest))
    except Exception as error:
        expected = isinstance(error, TextVaeError | OSError)
        log.error("%s: %s", task.name, error, exc_info=None if expected else error)
        return Failure(task, type(error).__name__, str(error))
    log.info("%s: done", task.name)
    return None


def _receive(worker: Worker, task: Task) -> ProgressMessage | TaskEnd:
    """Return the worker's message; its death, such as from lack of memory, is a failed task."""
    try:
        message: ProgressMessage | TaskEnd = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        death = f"its worker died with exit code {worker.process.exitcode}"
        log.error("%s: %s", task.name, death)
        return TaskEnd(Failure(task, "OSError", death))
    return message


def _start_worker(plan: Plan, number: int) -> Worker:
    """Start a new worker."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    name = f"worker-{number + 1}"
    process = context.Process(target=_serve, args=(plan, there), name=name, daemon=True)
    process.start()
    # With both ends open here, the death of the worker would not close the pipe.
    there.close()
    return Worker(process, here)


def _stop(workers: Sequence[Worker]) -> None:
    """End every worker, once it has saved a checkpoint."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(STOP_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _serve(plan: Plan, pipe: Connection) -> None:
    """Run tasks from the pipe until it is closed or the process is terminated."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(processName)s %(message)s",
    )
    threading.Thread(target=_end_with_parent, daemon=True).start()
    reported_s = 0.0

    def on_progress(
        what: str, done: int, parts: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        nonlocal reported_s
        if done == parts or time.monotonic() - reported_s >= PROGRESS_INTERVAL_S:
            reported_s = time.monotonic()
            pipe.send(ProgressMessage(what, done, parts, dict(figures or {})))

    try:
        while True:
            pipe.send(TaskEnd(_try_task(plan, pipe.recv(), on_progress)))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return


def _end_with_parent() -> None:
    """End this process at once, without cleanup, when its parent has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker waits for its parent"
    parent.join()
    os._exit(1)
