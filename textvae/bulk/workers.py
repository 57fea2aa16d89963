"""Engines that answer shards: one in this process, or one in each of several processes."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

from textvae import errors
from textvae.bulk.rows import InputRow
from textvae.config.serve import ServeConfig
from textvae.errors import BusyError, InputError, TextVaeError

WAITING_ROWS = 1 << 20
"""Rows that may wait for an engine which nobody else calls."""
END_S = 5.0
"""Seconds that a worker may take to end."""


class Start(NamedTuple):
    """What an engine is started from."""

    registry: Path
    model: str
    version: str
    serve: ServeConfig


class Shard(NamedTuple):
    """Rows to work on."""

    number: int
    rows: tuple[tuple[InputRow, int], ...]
    """Each with the results that it needs."""


Work = Callable[[Any, Shard, Callable[[int], None]], None]
"""Works on a shard with an engine, and says after some rows how many they were."""


class Dead(NamedTuple):
    """What a worker failed of."""

    kind: str
    arguments: tuple[Any, ...]
    is_disk: bool
    trace: str


def do_shards(
    start: Start,
    workers: int,
    threads: int,
    shards: Iterator[Shard],
    work: Work,
    on_rows: Callable[[int], None],
) -> None:
    """Do the work on all shards, with so many engines; raise the first error.

    `threads`: of all engines together. `work` must be a function of a module, or a partial of one.
    """
    if workers == 1:
        with open_engine(start, threads) as engine:
            for shard in shards:
                work(engine, shard, on_rows)
        return
    with ExitStack() as stack:
        pipes = {}
        for _ in range(workers):
            process, pipe = _started(start, max(1, threads // workers), work)
            stack.callback(_end, process, pipe)
            pipes[pipe] = process
        _hand_out(pipes, shards, on_rows)


@contextmanager
def open_engine(start: Start, threads: int) -> Iterator[Any]:
    """Yield an engine of the version, with so many threads."""
    from textvae.engine.start import start_engine
    from textvae.store.versions import open_version

    config = replace(start.serve, threads=threads, waiting_rows_max=WAITING_ROWS)
    version = open_version(start.registry, start.model, start.version)
    with start_engine(start.registry, version, config) as engine:
        yield engine


def _hand_out(
    pipes: dict[Connection, SpawnProcess],
    shards: Iterator[Shard],
    on_rows: Callable[[int], None],
) -> None:
    """Give a shard to each worker that has none, until there are no more and all are done.

    No shard is read before a worker wants it, so memory does not grow with the input.
    """
    busy = set(pipes)
    while busy:
        for ready in wait(list(busy)):
            assert isinstance(ready, Connection), "only pipes are waited for"
            try:
                said = ready.recv()
                if isinstance(said, int):
                    on_rows(said)
                    continue
                if isinstance(said, Dead):
                    raise _error_of(said)
                shard = next(shards, None)
                if shard is None:
                    busy.remove(ready)
                else:
                    ready.send(shard)
            except (EOFError, ConnectionError):
                process = pipes[ready]
                process.join(END_S)
                raise BusyError(
                    f"bulk: a worker ended (exit code {process.exitcode}); the same command goes "
                    "on; fewer bulk.workers need less memory"
                ) from None


def _started(start: Start, threads: int, work: Work) -> tuple[SpawnProcess, Connection]:
    """Start a worker: never a fork, for torch may have threads."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_worker, args=(theirs, start, threads, work), name="bulk", daemon=True
    )
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        process.start()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    theirs.close()
    return process, ours


def _end(process: SpawnProcess, pipe: Connection) -> None:
    """End a worker; a shard that it has in hand is dropped."""
    pipe.close()
    process.terminate()
    process.join(END_S)
    if process.is_alive():
        process.kill()
        process.join()


def _worker(pipe: Connection, start: Start, threads: int, work: Work) -> None:
    """Ask for shards and work on them, until the other end of the pipe is closed."""
    # Ctrl-C is for the parent, which ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with open_engine(start, threads) as engine:
            while True:
                pipe.send(None)
                work(engine, pipe.recv(), pipe.send)
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        arguments: Sequence[Any] = error.args
        if isinstance(error, InputError):
            arguments = (error.field, error.problem)
        plain = tuple(map(_plain, arguments))
        is_disk = isinstance(error, OSError)
        pipe.send(Dead(type(error).__name__, plain, is_disk, traceback.format_exc()))


def _end_with_parent() -> None:
    """End this process when its parent does, killed or not."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(1)


def _plain(value: Any) -> Any:
    """Return what any process can read."""
    return value if isinstance(value, int | str) else str(value)


def _error_of(dead: Dead) -> Exception:
    """Return the error that a worker failed of."""
    kind = getattr(errors, dead.kind, None)
    if isinstance(kind, type) and issubclass(kind, TextVaeError):
        return kind(*dead.arguments)
    if dead.is_disk:
        return OSError(*dead.arguments)
    return RuntimeError(f"a worker failed:\n{dead.trace}")
