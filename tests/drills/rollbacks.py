"""`python -m tests.drills.rollbacks`: a server under load follows promotions and rollbacks, one
version among them damaged, and no call fails or is answered by other weights than it says."""

import dataclasses
import logging
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from safetensors.numpy import load, save

from tests import toys
from tests.drills.line import Found, run_drill
from tests.serving import MODEL, Server, another_version, put_in_service, serving, within
from textvae.client.recording import TIMES
from textvae.corpus.spans import Corpus
from textvae.corpus.toy_grammar import sample
from textvae.store.promotions import rollback
from textvae.store.versions import Version, publish
from textvae.training.run import train
from textvae.v1 import model_pb2, model_pb2_grpc
from textvae.v1 import textvae_pb2 as pb
from textvae.v1.textvae_pb2_grpc import TextVaeServiceStub

log = logging.getLogger(__name__)

STEPS = {True: 20, False: 100}
FLIPS = {True: 10, False: 50}
CALLERS = 4
SCALES = (1.25, 0.8)
"""Of the first version's weights, in the two others."""
ROLLBACK_MS_MAX = 1000.0
WAIT_S = 60

ONE_CALL = (("grpc.enable_retries", 0),)
SENTENCES = ["the cat sees the dog", "a bird sings"]
REQUESTS: dict[str, Any] = {
    "Encode": pb.EncodeRequest(sentences=SENTENCES, seed=1),
    "Sample": pb.SampleRequest(count=3, seed=2, prior=pb.PRIOR_STANDARD),
    "Score": pb.ScoreRequest(sentences=SENTENCES, importance_samples=3, seed=3),
    "Interpolate": pb.InterpolateRequest(
        points=[pb.Endpoint(sentence=sentence) for sentence in SENTENCES], steps=4, seed=4
    ),
}
"""What callers ask, one after another, for ever."""

Answers = Mapping[str, Mapping[str, bytes]]
"""Of each version by name, its answer to each request."""


def payload(response: Any) -> bytes:
    """An answer without its version and its times: what the weights alone decide."""
    response.metadata.ClearField("version")
    for field in TIMES:
        response.metadata.ClearField(field)
    return bytes(response.SerializeToString(deterministic=True))


class Callers:
    """Threads that call without a pause and without a retry; all they saw, counted."""

    def __init__(self, address: str, answers: Answers) -> None:
        self.calls = self.failed = self.mixed = self.astray = 0
        self.allowed: set[str] = set()
        """Versions that may answer now."""
        self._address, self._answers = address, answers
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._first: dict[str, tuple[float, float]] = {}
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        with grpc.insecure_channel(self._address, ONE_CALL) as channel:
            stub = TextVaeServiceStub(channel)
            while not self._ended.is_set():
                for kind, request in REQUESTS.items():
                    allowed, began_s = self.allowed, time.monotonic()
                    try:
                        response = getattr(stub, kind)(request, timeout=WAIT_S)
                    except grpc.RpcError as error:
                        log.error("a call failed: %s", error)
                        self.failed += 1
                        continue
                    version = response.metadata.version
                    right = self._answers[version][kind] == payload(response)
                    # The server may have turned to another between the two.
                    allowed = allowed | self.allowed
                    with self._lock:
                        self.calls += 1
                        self.mixed += not right
                        self.astray += version not in allowed
                        self._first.setdefault(version, (began_s, time.monotonic()))

    def answered_s(self, version: str, since_s: float) -> float:
        """When the first call that began after `since_s` was answered by this version."""
        end_s = since_s + WAIT_S
        while time.monotonic() < end_s:
            with self._lock:
                began_s, done_s = self._first.pop(version, (0.0, 0.0))
            if began_s >= since_s:
                return done_s
            time.sleep(0.001)
        raise AssertionError(f"{version} does not answer within {WAIT_S} s")

    def end(self) -> None:
        """Stop calling."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


def three_versions(registry: Path, run: Path, steps: int) -> list[Version]:
    """One that learned a little and two like it with other weights; the first serves."""
    recipe, rows = toys.recipe(), sample(1200, seed=0)
    short = dataclasses.replace(
        recipe.training, steps=steps, language_model_steps=1, collapse_stops=False
    )
    corpus = Corpus(rows[200:], rows[:100], rows[100:200], ("toy",), ("0" * 64,))
    made = train(recipe._replace(training=short), corpus, run, "", lambda *_: None)
    first = publish(registry, MODEL, "20260101", made.files, made.facts)
    toys.promoted(registry, first)
    weights = load((first.folder / "model.safetensors").read_bytes())
    scaled = [{name: array * scale for name, array in weights.items()} for scale in SCALES]
    return [first, *(another_version(registry, model=save(each)) for each in scaled)]


def damaged_version(registry: Path) -> Version:
    """Published whole, and opened; then its weights lost their last byte."""
    version = another_version(registry, config=b"# to be damaged\n")
    weights = version.folder / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1])
    return version


def alone(registry: Path, version: Version) -> dict[str, bytes]:
    """Return the answers of this version where nothing else serves and nobody else calls."""
    with (
        serving(registry, "--version", version.name) as server,
        grpc.insecure_channel(server.address, ONE_CALL) as channel,
    ):
        stub = TextVaeServiceStub(channel)
        return {kind: payload(getattr(stub, kind)(asked)) for kind, asked in REQUESTS.items()}


class Flips(NamedTuple):
    """What a server was put through, in milliseconds until callers saw it."""

    promotions_ms: list[float]
    rollbacks_ms: list[float]
    refusals: int
    """Promotions of the damaged version that changed nothing and were said in log and info."""
    rollbacks_of_damaged: int


def flip(server: Server, callers: Callers, versions: list[Version], flips: int) -> Flips:
    """Five in turn: promote, roll back, promote, promote the damaged one, roll that back."""
    registry, names = server.registry, [version.name for version in versions]
    damaged, seen, now = damaged_version(registry), Flips([], [], 0, 0), names[0]
    before = now
    for number in range(flips):
        at, began_s = number % 5, time.monotonic()
        if at == 3:
            put_in_service(registry, damaged)
            seen = seen._replace(refusals=seen.refusals + refused(server, damaged.name))
            continue
        if at in (0, 2):
            wanted = names[(names.index(now) + 1 + at // 2) % len(names)]
            callers.allowed = {now, wanted}
            put_in_service(registry, versions[names.index(wanted)])
        else:
            wanted = now if at == 4 else before
            callers.allowed = {now, wanted}
            rollback(registry, MODEL, reason="a drill", actor="drill", at=toys.AT, to=wanted)
        answered_ms = (callers.answered_s(wanted, began_s) - began_s) * 1000
        log.info("%d: %s answers after %.0f ms", number, wanted, answered_ms)
        if at == 4:
            within(WAIT_S, lambda: problem(server) == "")
            seen = seen._replace(rollbacks_of_damaged=seen.rollbacks_of_damaged + (wanted == now))
        else:
            (seen.rollbacks_ms if at == 1 else seen.promotions_ms).append(answered_ms)
        now, before = wanted, now
        callers.allowed = {now}
    return seen


def refused(server: Server, name: str) -> bool:
    """Whether the server says why it does not serve this version; a while of calls goes by."""
    within(WAIT_S, lambda: name in problem(server))
    time.sleep(0.3)
    said = server.log_text()
    return "its files cannot be used" in problem(server) and (
        f"cannot load {name}" in said and "model.safetensors: has" in said
    )


def problem(server: Server) -> str:
    """What GetServerInfo says of the newest promotion."""
    with grpc.insecure_channel(server.address, ONE_CALL) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        request = model_pb2.GetServerInfoRequest()
        return str(stub.GetServerInfo(request, timeout=WAIT_S).champion_problem)


def drill(quick: bool) -> Found:
    """Each version alone first; then a server of all of them, with its own settings."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Path(folder) / "registry"
        versions = three_versions(registry, Path(folder) / "run", STEPS[quick])
        answers = {version.name: alone(registry, version) for version in versions}
        for kind in REQUESTS:
            assert len({each[kind] for each in answers.values()}) == len(versions), kind
        with serving(registry) as server:
            callers = Callers(server.address, answers)
            callers.allowed = {versions[0].name}
            try:
                seen = flip(server, callers, versions, FLIPS[quick])
            finally:
                callers.end()
    figures = {
        "flips": FLIPS[quick],
        "callers": CALLERS,
        "calls": callers.calls,
        "failed_calls": callers.failed,
        "answers_of_other_weights_than_said": callers.mixed,
        "answers_of_a_version_not_in_force": callers.astray,
        "damaged_promotions_refused_and_said": seen.refusals,
        "damaged_promotions_rolled_back": seen.rollbacks_of_damaged,
        "promotion_to_answer_ms_median": round(statistics.median(seen.promotions_ms), 1),
        "promotion_to_answer_ms_max": round(max(seen.promotions_ms), 1),
        "rollback_to_answer_ms_median": round(statistics.median(seen.rollbacks_ms), 1),
        "rollback_to_answer_ms_max": round(max(seen.rollbacks_ms), 1),
    }
    never = [name for name in figures if name.startswith(("failed", "answers"))]
    targets: dict[str, float] = dict.fromkeys(never, 0)
    targets["damaged_promotions_refused_and_said"] = FLIPS[quick] // 5
    targets["damaged_promotions_rolled_back"] = FLIPS[quick] // 5
    held = all(figures[name] == wanted for name, wanted in targets.items())
    targets |= {"rollback_to_answer_ms_max": ROLLBACK_MS_MAX}
    return Found(figures, targets, held and max(seen.rollbacks_ms) < ROLLBACK_MS_MAX)


if __name__ == "__main__":
    run_drill("rollbacks", drill)
