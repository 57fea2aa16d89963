"""`python -m jobs.bench NAME`: arms of the same work in one run; ends with one JSON line and its
verdict."""

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
    """Run all arms interleaved; exit code 0 where every target held, 1 where one did not."""

    name: Annotated[
        Literal["train", "encode", "decode", "slots", "cancels", "bulk"], tyro.conf.Positional
    ]
    """train: against torch.nn.GRU alone, a textbook and Sentence-VAE; encode, decode: against a
    textbook; slots: against whole-request batching; cancels: with callers that cancel; bulk: many
    sentences in one call, against one by one."""
    quick: bool = False
    """Run at small sizes in under a minute, which shows that it works but not how fast."""


def main() -> int:
    """Run the benchmark that the command line names."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    settings = tyro.cli(Bench, prog="python -m jobs.bench")
    result = BENCHES[settings.name](settings.quick)
    print(json.dumps(json_line(result)))
    return 0 if result.held else 1


if __name__ == "__main__":
    raise SystemExit(main())
