"""The tasks of a quality table over processes: each worker does one task after the other.

A worker is a spawned process at the other end of a pipe. It ends when its table does, however that
ends, so that a table that is started again never meets a worker of the one before for long.
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
from textvae.threads import available_cores

log = logging.getLogger(__name__)

SECONDS_BETWEEN_WORDS = 1.0
STOP_S = 60.0
"""What a worker may take to save a checkpoint before it is killed."""


class Failure(NamedTuple):
    """A task that could not be done."""

    task: Task
    kind: str
    """Name of the error's class; empty where what the task needs was not done."""
    message: str


class ProgressMessage(NamedTuple):
    """What a worker says of its progress."""

    what: str
    done: int
    parts: int
    figures: Mapping[str, float]


class TaskEnd(NamedTuple):
    """What a worker says of a task that it has done with."""

    failure: Failure | None


class Worker(NamedTuple):
    """A process and this end of its pipe."""

    process: BaseProcess
    pipe: Connection


def do_tasks(
    plan: Plan,
    tasks: Sequence[Task],
    workers: int,
    on_progress: ProgressCallback,
    done: Callable[[Task], None],
) -> list[Failure]:
    """Do all tasks that are not done yet, in order, as far as what they need allows.

    `done` is called in this process after each. A task that fails stops only those that need it.
    With one worker the tasks are done in this process.
    """
    waiting = [task for task in tasks if result_of(plan, task) is None]
    log.info("table: %d tasks, %d of them done before", len(tasks), len(tasks) - len(waiting))
    if workers > 1:
        return _by_workers(plan, waiting, min(workers, len(waiting)), on_progress, done)
    failures: list[Failure] = []
    while waiting:
        task = waiting.pop(0)
        failure = _unmet_dependency(plan, task, failures) or _attempt(plan, task, on_progress)
        if failure:
            failures.append(failure)
        done(task)
    return failures


def threads_of(threads: int, workers: int, device: str) -> int:
    """Threads of one worker's arithmetic, where 0 leaves it to the number of workers.

    One each of several on the CPU, so that a table has the same bits on any machine like it; a
    share of the cores beside a GPU, where no bits are promised.
    """
    if threads:
        return threads
    several = workers > 1 and device == "cpu"
    return 1 if several else max(1, available_cores() // workers)


def _by_workers(
    plan: Plan,
    waiting: list[Task],
    count: int,
    on_progress: ProgressCallback,
    done: Callable[[Task], None],
) -> list[Failure]:
    """`do_tasks` over that many processes."""
    failures: list[Failure] = []
    idle = [_start_worker(plan, number) for number in range(count)]
    busy: dict[Connection, tuple[Worker, Task]] = {}
    try:
        while waiting or busy:
            hopeless = [
                found for task in waiting if (found := _unmet_dependency(plan, task, failures))
            ]
            failures += hopeless
            for failure in hopeless:
                waiting.remove(failure.task)
            for task in _ready(plan, waiting)[: len(idle)] if idle else []:
                waiting.remove(task)
                worker = idle.pop()
                worker.pipe.send(task)
                busy[worker.pipe] = (worker, task)
            assert busy or not waiting, f"nothing can begin of {waiting}"
            for pipe in wait(list(busy)):
                worker, task = busy[pipe]  # type: ignore[index]  # only pipes were waited for
                said = _receive(worker, task)
                if isinstance(said, ProgressMessage):
                    on_progress(*said)
                    continue
                del busy[worker.pipe]
                lost = not worker.process.is_alive()
                idle.append(_start_worker(plan, len(idle)) if lost else worker)
                failures += [said.failure] if said.failure else []
                done(task)
    finally:
        _stop([*idle, *(worker for worker, _ in busy.values())])
    return failures


def _ready(plan: Plan, waiting: Sequence[Task]) -> list[Task]:
    """The tasks whose needs are done, in order."""
    asked = dict.fromkeys(other for task in waiting for other in dependencies(plan, task))
    there = {other for other in asked if result_of(plan, other) is not None}
    return [task for task in waiting if there.issuperset(dependencies(plan, task))]


def _unmet_dependency(plan: Plan, task: Task, failures: Sequence[Failure]) -> Failure | None:
    """Why the task can never be done: something that it needs has failed."""
    for failure in failures:
        if failure.task in dependencies(plan, task):
            return Failure(task, "", f"needs {failure.task.name}, which failed")
    return None


def _attempt(plan: Plan, task: Task, on_progress: ProgressCallback) -> Failure | None:
    """Do the task; what went wrong is told and not raised, but for a signal."""
    # Only who does a task needs torch: a table of several workers waits for them without it.
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
    """What the worker says; its death, such as for want of memory, is a failure of its task."""
    try:
        said: ProgressMessage | TaskEnd = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        died = f"its worker died with exit code {worker.process.exitcode}"
        log.error("%s: %s", task.name, died)
        return TaskEnd(Failure(task, "OSError", died))
    return said


def _start_worker(plan: Plan, number: int) -> Worker:
    """A new worker."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    name = f"worker-{number + 1}"
    process = context.Process(target=_serve, args=(plan, theirs), name=name, daemon=True)
    process.start()
    # The worker has the other end now; with ours open too, its death would not be heard.
    theirs.close()
    return Worker(process, mine)


def _stop(workers: Sequence[Worker]) -> None:
    """Every worker has ended, each with a checkpoint of what it was at."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(STOP_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _serve(plan: Plan, pipe: Connection) -> None:
    """The life of a worker: a task at a time, until it is told to end."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(processName)s %(message)s",
    )
    threading.Thread(target=_end_with_parent, daemon=True).start()
    told_s = 0.0

    def on_progress(
        what: str, done: int, parts: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        nonlocal told_s
        if done == parts or time.monotonic() - told_s >= SECONDS_BETWEEN_WORDS:
            told_s = time.monotonic()
            pipe.send(ProgressMessage(what, done, parts, dict(figures or {})))

    try:
        while True:
            pipe.send(TaskEnd(_attempt(plan, pipe.recv(), on_progress)))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return


def _end_with_parent() -> None:
    """End this process, as a kill would, when the one that started it has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker waits for its parent"
    parent.join()
    os._exit(1)
