"""`python -m jobs.bench NAME`: arms of the same work in one run; ends with one JSON line and its
verdict."""

import json
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from textvae.installation import job_command
from textvae.pipes import ignore_closed_pipes
from textvae.threads import configure_threads

if TYPE_CHECKING:
    from textvae.benchmarks.arms import Result

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bench:
    """Run all arms interleaved; exit code 0 where every target held, 1 where one did not."""

    name: Annotated[
        Literal["train", "encode", "decode", "slots", "cancels", "bulk", "fairness", "overload"],
        tyro.conf.Positional,
    ]
    """train: against torch.nn.GRU alone, a textbook and Sentence-VAE; encode, decode: against a
    textbook; slots: against whole-request batching; cancels: with callers that cancel; bulk: many
    sentences in one call, against one by one; fairness: of callers who share a server; overload:
    at 3 and 5 times the capacity."""
    quick: bool = False
    """Run at small sizes in under a minute, which shows that it works but not how fast."""


def main() -> int:
    """Run the benchmark that the command line names; return the exit code."""
    ignore_closed_pipes()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    settings = tyro.cli(Bench, prog=job_command("bench"))
    log.info("%s", configure_threads())
    from textvae.benchmarks.arms import json_line

    result = _run(settings)
    print(json.dumps(json_line(result)))
    return 0 if result.held else 1


def _run(settings: Bench) -> "Result":
    """Return what the benchmark found; torch is imported here, once the threads are configured."""
    from textvae.benchmarks.fairness import bench_fairness
    from textvae.benchmarks.network import bench_decode, bench_encode
    from textvae.benchmarks.overload import bench_overload
    from textvae.benchmarks.serving import bench_bulk, bench_cancels
    from textvae.benchmarks.slots import bench_slots
    from textvae.benchmarks.training import bench_train

    benchmarks = {
        "train": bench_train,
        "encode": bench_encode,
        "decode": bench_decode,
        "slots": bench_slots,
        "cancels": bench_cancels,
        "bulk": bench_bulk,
        "fairness": bench_fairness,
        "overload": bench_overload,
    }
    return benchmarks[settings.name](settings.quick)


if __name__ == "__main__":
    raise SystemExit(main())
