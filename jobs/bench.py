"""`python -m jobs.bench NAME`: a benchmark of two arms; ends with one JSON line and its verdict."""

import json
import logging
import sys
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from textvae.benchmarks.arms import json_line
from textvae.benchmarks.network import bench_decode, bench_encode
from textvae.benchmarks.serving import bench_bulk, bench_cancels
from textvae.benchmarks.slots import bench_slots
from textvae.benchmarks.training import bench_train

BENCHES = {
    "train": bench_train,
    "encode": bench_encode,
    "decode": bench_decode,
    "slots": bench_slots,
    "cancels": bench_cancels,
    "bulk": bench_bulk,
}


@dataclass(frozen=True)
class Bench:
    """Both arms in one run, interleaved; exit code 0 where the target held, 1 where it did not."""

    name: Annotated[
        Literal["train", "encode", "decode", "slots", "cancels", "bulk"], tyro.conf.Positional
    ]
    """train, encode, decode: ours against a textbook's; slots: against whole-request batching;
    cancels: beside callers that give up; bulk: many sentences in one call, against one by one."""
    quick: bool = False
    """Under a minute, at small sizes: shows that it runs, not how fast."""


def main() -> int:
    """Run the benchmark that the command line names."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    settings = tyro.cli(Bench, prog="python -m jobs.bench")
    result = BENCHES[settings.name](settings.quick)
    print(json.dumps(json_line(result)))
    return 0 if result.held else 1


if __name__ == "__main__":
    raise SystemExit(main())
