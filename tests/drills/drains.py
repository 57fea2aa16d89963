"""`python -m tests.drills.drains`: servers that drain under load cancel no call, and say to each
that they do not answer why."""

import dataclasses
import logging
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests import toys
from tests.drills.line import Found, run_drill
from tests.serving import serving, within
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

log = logging.getLogger(__name__)

DRAINS = {True: 2, False: 20}
STEPS = {True: 30, False: 1200}
CALLERS = 24
ONE_TRY = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
GOOD = {("OK", ""), ("UNAVAILABLE", "NOT_SERVING"), ("UNAVAILABLE", "GONE")}
DRAIN_S_MAX = 10.0


def reason(error: grpc.RpcError) -> str:
    """The reason in the details of an error; empty where it has none."""
    status = rpc_status.from_call(error) if error.trailing_metadata() else None  # type: ignore[arg-type, attr-defined]
    info = error_details_pb2.ErrorInfo()
    return info.reason if status and status.details[0].Unpack(info) else ""


class Callers:
    """Threads that call without a pause and without a retry, until there is no server."""

    def __init__(self, address: str, count: int) -> None:
        self.ends: Counter[tuple[str, str]] = Counter()
        self._threads = [threading.Thread(target=self._call, args=(address,)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _call(self, address: str) -> None:
        with grpc.insecure_channel(address, ONE_TRY) as channel:
            stub = TextVaeServiceStub(channel)
            while True:
                call = stub.Encode.future(pb.EncodeRequest(sentences=["the cat"]), timeout=30)
                error = call.exception()
                if error is None:
                    self.ends["OK", ""] += 1
                    continue
                is_gone = "Failed to connect" in str(error.details())
                self.ends[error.code().name, "GONE" if is_gone else reason(error)] += 1
                if not reason(error):
                    return

    def join(self) -> None:
        """Wait for all."""
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> int:
        """Calls that were neither answered, nor refused in words, nor sent to nobody."""
        return sum(count for end, count in self.ends.items() if end not in GOOD)


def drill(quick: bool) -> Found:
    """One drain after the other, each of a new server."""
    ends, longest_s, recipe = Counter[tuple[str, str]](), 0.0, toys.recipe()
    failed = 0
    short = dataclasses.replace(recipe.training, steps=STEPS[quick], collapse_stops=False)
    with tempfile.TemporaryDirectory() as folder:
        registry = Path(folder) / "registry"
        version = toys.published(registry, Path(folder) / "run", recipe._replace(training=short))
        toys.promoted(registry, version)
        for number in range(DRAINS[quick]):
            with serving(registry) as server:
                callers = Callers(server.address, CALLERS)
                within(60, lambda callers=callers: callers.ends["OK", ""] > 50)  # type: ignore[misc]
                began_s = time.monotonic()
                code = server.stop()
                longest_s = max(longest_s, time.monotonic() - began_s)
                callers.join()
            log.info("drain %d: exit code %d, %s", number + 1, code, dict(callers.ends))
            failed += callers.failed + (code != 0)
            ends += callers.ends
    figures = {
        "drains": float(DRAINS[quick]),
        "answered": float(ends["OK", ""]),
        "refused_in_words": float(ends["UNAVAILABLE", "NOT_SERVING"]),
        "failed": float(failed),
        "longest_drain_s": round(longest_s, 2),
    }
    targets = {"failed": 0.0, "longest_drain_s": DRAIN_S_MAX}
    return Found(figures, targets, failed == 0 and longest_s <= DRAIN_S_MAX)


if __name__ == "__main__":
    run_drill("drains", drill)
