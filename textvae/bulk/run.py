"""A bulk job from its input to its output, from wherever an earlier start came to."""

import functools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from textvae.bulk.finish import check_bad, finish
from textvae.bulk.inputs import hashes_of, table_of
from textvae.bulk.output import folder_of, hold_part, remembered_of, write_identity
from textvae.bulk.plan import Job, Known, identity_of, known_of
from textvae.bulk.rows import Table
from textvae.bulk.shards import shards_of, work_on
from textvae.bulk.workers import do_shards
from textvae.progress import ProgressCallback
from textvae.store.leases import hold_lease
from textvae.threads import available_threads

log = logging.getLogger(__name__)


def run_bulk(job: Job, on_progress: ProgressCallback) -> dict[str, Any]:
    """Return the outcome: `done`, `part` where other parts are missing, or `up_to_date`.

    Raises InputError for an output of another identity, DataError for an input with too many bad
    rows, BusyError where another process has this part.
    """
    folder, file = folder_of(job.output)
    identity = identity_of(job, hashes_of(job.reading))
    remembered = remembered_of(folder, identity, file)
    table = Table(**remembered) if remembered else table_of(job.reading, on_progress)
    known = known_of(job, table, identity)
    check_bad(job, table.bad, table.rows, {})
    with hold_part(folder, job.part):
        write_identity(folder, identity, table._asdict(), file)
        if said := known.output.success():
            return {"outcome": "up_to_date", "output": str(job.output), **said["counts"]}
        known.output.forget_success()
        began_s = time.monotonic()
        rows = _do_part(job, known, on_progress)
        seconds = time.monotonic() - began_s
        left = sum(known.output.note(number) is None for number in range(known.output.shards))
        if left:
            log.info("%d of %d shards are for other parts", left, known.output.shards)
            return {"outcome": "part", "output": str(job.output), "shards_left": left}
        rates = {"rows": rows, "seconds": seconds, "rows_per_s": rows / max(seconds, 1e-9)}
        return {"outcome": "done", **finish(job, known, rates, on_progress)}


def _do_part(job: Job, known: Known, on_progress: ProgressCallback) -> int:
    """Do the shards of this part that are not done; return the rows that were."""
    output, part = known.output, job.part
    own = [number for number in range(output.shards) if number % part.of == part.number]
    todo = {number for number in own if output.note(number) is None}
    if not todo:
        return 0
    size = job.config.shard_rows
    rows = sum(min(size, known.table.rows - number * size) for number in todo)
    threads = job.start.serve.threads or available_threads()
    workers = min(job.config.workers or threads, len(todo))
    done, began_s = 0, time.monotonic()

    def on_rows(count: int) -> None:
        nonlocal done
        done += count
        rate = done / max(time.monotonic() - began_s, 1e-9)
        on_progress(job.asked.task, min(done, rows), rows, {"rows_per_s": rate})

    on_progress(job.asked.task, 0, rows)
    log.info("%d shards to do, by %d worker(s)", len(todo), workers)
    work = functools.partial(work_on, job, known)
    shards = shards_of(job, known, todo)
    with _lease(job):
        do_shards(job.start, workers, threads, shards, work, on_rows)
    return rows


@contextmanager
def _lease(job: Job) -> Iterator[None]:
    """Keep prunes from the version; where the registry cannot be written, the log says so."""
    try:
        lease = hold_lease(job.start.registry, job.start.model, job.version.name, "bulk")
        lease.__enter__()
    except OSError as error:
        log.warning("%s is not protected from prunes: %s", job.version.name, error)
        yield
        return
    try:
        yield
    finally:
        lease.__exit__(None, None, None)
