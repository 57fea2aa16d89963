"""`python -m tests.drills.replay`: every answer again, to the byte, in any batch and order, at
any number of slots, and after a restart; `--method paraphrase` for the answers of one method."""

import dataclasses
import itertools
import logging
import random
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests import toys
from tests.drills.line import Flag, Found, run_drill
from tests.serving import serving
from textvae.client import Client, Constraints, Latents
from textvae.client.recording import Exchange, differing
from textvae.corpus.toy_grammar import sample
from textvae.options import Options

log = logging.getLogger(__name__)

CALLERS = 32
STEPS = {True: 30, False: 1200}
REQUESTS = {True: 80, False: 10_000}
# Of the servers that the crowds call.
SLOTS = (64, 16, 8)
METHODS = ("encode", "decode", "sample", "interpolate", "paraphrase", "score")


def options(chance: random.Random) -> Options:
    """Greedy, a beam, or a way of drawing."""
    if chance.random() < 0.4:
        beam = chance.choice((0, 0, 2, 5))
        return Options(tokens_max=chance.choice((0, 3, 20)), beam=beam, alternatives=beam // 2)
    return Options(
        temperature=chance.choice((0.5, 1.0, 2.0)),
        top_k=chance.choice((0, 0, 1, 10, 50)),
        top_p=chance.choice((1.0, 1.0, 0.9, 0.5)),
        min_p=chance.choice((0.0, 0.0, 0.05)),
        no_repeat=chance.choice((0, 0, 2)),
        tokens_max=chance.choice((0, 5, 30)),
    )


def how_to_choose(chance: random.Random) -> dict[str, Any]:
    """A method and, where candidates are judged, how to choose among them."""
    method, candidates = chance.choice(("auto", "draw", "search")), chance.randint(0, 3)
    choice: dict[str, Any] = {
        "method": method,
        "candidates": candidates,
        "closeness": chance.choice((0.0, 0.5, 1.0)),
    }
    if method == "search":
        choice["candidates"] = chance.choice((2, 4))
        choice["search_steps"] = chance.randint(1, 5)
    if candidates > 1 or method == "search":
        choice["adequacy_min"] = chance.choice((0.0, 0.0, 0.5, 1.5))
        choice["fluency_max"] = chance.choice((None, None, 2.0))
        choice["novelty_min"] = chance.choice((0.0, 0.0, 0.3))
    return choice


def constraints(chance: random.Random) -> Constraints:
    """What variations of the grammar's sentences must hold; each has a word that begins with t."""
    return Constraints(
        patterns=chance.choice(((), (r"\bt\w+",), (r"[a-e]+\b", "o"))),
        capitalised=chance.random() < 0.3,
        numbers=chance.random() < 0.3,
        banned=chance.choice(((), ("in", "is"))),
        characters_min=chance.choice((0, 0, 12)),
        characters_max=chance.choice((0, 0, 90)),
        keep_case=chance.random() < 0.3,
        keep_final_punctuation=chance.random() < 0.3,
    )


def request(
    client: Client, number: int, method: str, sentences: Sequence[str], mean: Latents
) -> None:
    """Call with request `number`, which depends on that and, where one is named, the method."""
    chance = random.Random(number)
    some = chance.sample(sentences, chance.randint(1, 4))
    how: dict[str, Any] = {"options": options(chance), "seed": number}
    drawn = chance.choice(METHODS)
    match method or drawn:
        case "encode":
            client.encode(some, logvar=True, samples=chance.randint(0, 3), seed=number)
        case "decode":
            rows = chance.sample(range(len(mean.values)), chance.randint(1, 12))
            client.decode(Latents(mean.values[rows], mean.version), **how)
        case "sample":
            prior = chance.choice(("standard", "fitted"))
            client.sample(chance.randint(1, 12), prior=prior, scale=chance.choice((1, 1.5)), **how)
        case "interpolate":
            path = chance.choice(("lerp", "slerp"))
            ends = chance.sample(sentences, 2)
            client.interpolate(ends, chance.randint(2, 9), path=path, **how)
        case "paraphrase":
            choice = how_to_choose(chance)
            if how["options"].beam <= 1 and chance.random() < 0.6:
                choice["constraints"] = constraints(chance)
                some = [f"{one} {{slot_{number}}}" for one in some]
                how["options"] = how["options"]._replace(tokens_max=chance.choice((0, 60)))
            if choice["method"] == "search":
                how["options"] = how["options"]._replace(beam=0, alternatives=0)
            client.paraphrase(some, chance.randint(1, 5), radius=2.0, **choice, **how)
        case "score":
            client.score(some, importance_samples=chance.randint(1, 5), seed=number)


def asked(address: str, numbers: Sequence[int], method: str, callers: int) -> dict[int, Exchange]:
    """The calls of these numbers, in this order, by so many callers at once."""
    sentences = [row.text for row in sample(200, seed=1)]

    def call(share: Sequence[int]) -> Iterator[tuple[int, Exchange]]:
        calls: list[Exchange] = []
        with Client(address, 600.0, calls.append) as client:
            mean = client.encode(sentences, seed=0).mean
            calls.clear()
            for number in share:
                request(client, number, method, sentences, mean)
        yield from zip(share, calls, strict=True)

    shares = [numbers[first::callers] for first in range(callers)]
    with ThreadPoolExecutor(callers) as pool:
        answered = [pool.submit(lambda own: list(call(own)), share) for share in shares]
        return dict(itertools.chain.from_iterable(each.result() for each in answered))


def call_server(
    registry: Path, numbers: Sequence[int], method: str, slots: int, crowd: int
) -> dict[int, Exchange]:
    """The calls of these numbers to a server of its own; crowd 0 is one caller, in order."""
    order = random.Random(crowd).sample(numbers, len(numbers)) if crowd else numbers
    with serving(registry, "--slots", str(slots)) as server:
        return asked(server.address, order, method, CALLERS if crowd else 1)


def drill(quick: bool, method: str = "", requests: int = 0) -> Found:
    """Each request alone, then again among many, to other servers of the same version."""
    if method not in ("", *METHODS):
        raise SystemExit(f"method: must be one of {', '.join(METHODS)}, got {method}")
    recipe = toys.recipe()
    short = dataclasses.replace(recipe.training, steps=STEPS[quick], collapse_stops=False)
    numbers = list(range(requests or REQUESTS[quick]))
    differ, rows_most = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        registry = Path(folder) / "registry"
        version = toys.published(registry, Path(folder) / "run", recipe._replace(training=short))
        toys.promoted(registry, version)
        alone = call_server(registry, numbers, method, SLOTS[0], 0)
        for crowd, slots in enumerate(SLOTS, 1):
            found = call_server(registry, numbers, method, slots, crowd)
            wrong = [
                number
                for number in numbers
                if differing(alone[number].response, found[number].response)
            ]
            differ += len(wrong)
            rows = max(one.response.metadata.batch_rows for one in found.values())
            rows_most = max(rows_most, rows)
            log.info("%d slots: %d of %d differ %s", slots, len(wrong), len(numbers), wrong[:9])
    figures = {
        "requests": float(len(numbers)),
        "answers_compared": float(len(numbers) * len(SLOTS)),
        "answers_that_differ": float(differ),
        "rows_in_a_step_most": float(rows_most),
    }
    targets = {"answers_that_differ": 0.0, "rows_in_a_step_most": 33.0}
    return Found(figures, targets, differ == 0 and rows_most >= 33)


if __name__ == "__main__":
    run_drill(
        "replay",
        drill,
        Flag("method", "", f"one of {', '.join(METHODS)}; all by default"),
        Flag(
            "requests", 0, f"how many requests; 0 for {REQUESTS[False]:,}, quick {REQUESTS[True]}"
        ),
    )
