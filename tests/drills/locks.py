"""`python -m tests.drills.locks`: what is locked stands unchanged in every one of many variations,
where the reply says, and a locked request costs little more than a free one."""

import itertools
import logging
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests import rephrasing, toys
from tests.drills.line import Found, run_drill
from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.start import load_engine
from textvae.engine.variations import Variation
from textvae.options import Constraints, Method, Options, SentenceSpan

log = logging.getLogger(__name__)

REPLIES = {True: 300, False: 10_000}
SENTENCES, COUNT = 8, 3
"""Of one request, and variations of each."""
METHODS: tuple[Method, ...] = ("rephrase", "draw", "rephrase", "draw", "search")
NUMBERS = ("\u00a34.50", "10:30am", "24/7", "3", "A-17", "1,000.00", "\u0663")
SLOTS = ("{order_id}", "{name}", "{a.b-c}", "{\u59d3\u540d}")
NAMES = ("New York", "Zo\u00eb", "IBM", "\u041c\u043e\u0441\u043a\u0432\u0430")
COST_MAX = 3.0


class Call(NamedTuple):
    """A request, and what must stand in the variations of each of its sentences."""

    request: ParaphraseRequest
    kept: list[list[str]]


def call_of(number: int, texts: list[str]) -> Call:
    """Request `number`: sentences with numbers, slots and names set between their words."""
    chance = random.Random(number)
    sentences, kept, spans = [], [], []
    for index in range(SENTENCES):
        words = chance.choice(texts).split()
        own = chance.sample(NUMBERS, chance.randint(0, 2)) + chance.sample(
            SLOTS, chance.randint(0, 2)
        )
        own += chance.sample(NAMES, chance.randint(0, 1))
        for one in own:
            words.insert(chance.randint(1, len(words)), one)
        sentence = " ".join(words)
        if chance.random() < 0.3:
            start = len(words[0]) + 1
            end = start + len(words[1])
            if words[1] not in own:
                spans.append(SentenceSpan(index, start, end))
                own.append(words[1])
        sentences.append(sentence)
        kept.append(own)
    constraints = Constraints(
        spans=tuple(spans),
        patterns=chance.choice(((), (r"\bball\b",))),
        numbers=True,
        capitalised=True,
        banned=chance.choice(((), ("cat", "sees"))),
        characters_max=chance.choice((0, 0, 160)),
        keep_final_punctuation=chance.random() < 0.3,
    )
    return Call(
        ParaphraseRequest(
            tuple(sentences),
            COUNT,
            chance.choice((0.5, 1.0, 2.0)),
            options=Options(temperature=chance.choice((0.0, 0.5, 1.0))),
            method=METHODS[number % len(METHODS)],
            candidates=chance.choice((0, 2, 3)),
            constraints=constraints,
            search_steps=4 if METHODS[number % len(METHODS)] == "search" else 0,
            seed=number,
        ),
        kept,
    )


def is_held(variation: Variation, kept: list[str], banned: tuple[str, ...]) -> bool:
    """Whether all that must be kept stands where the reply says, and nothing that must not."""
    text, places = variation.sentence.text, sorted(lock[1:] for lock in variation.locks)
    apart = all(one[1] <= other[0] for one, other in itertools.pairwise(places))
    there = all(text[start:end] == lock for lock, start, end in variation.locks)
    locked = " ".join(lock.text for lock in variation.locks)
    rest = "".join(
        char for index, char in enumerate(text) if not any(a <= index < b for a, b in places)
    )
    free = not any(map(str.isdigit, rest)) and not set(banned) & set(text.casefold().split())
    return apart and there and free and all(one in locked for one in kept)


def cost_ratio(engine: Engine, texts: list[str]) -> float:
    """How many times as long locked requests take as the same ones without locks."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(30):
        request = call_of(5 * number, texts).request
        locked = Constraints(numbers=True, capitalised=True)
        for is_locked, constraints in ((True, locked), (False, Constraints(slots=False))):
            began = time.perf_counter()
            engine.answer(
                ParaphraseRequest(request.sentences, COUNT, constraints=constraints, seed=number)
            )
            times[is_locked].append(time.perf_counter() - began)
    return statistics.median(times[True]) / statistics.median(times[False])


def drill(quick: bool) -> Found:
    """Ask until so many variations have come."""
    texts = [row.text for row in rephrasing.grouped().test]
    replies = unheld = miscounted = number = 0
    with tempfile.TemporaryDirectory() as folder:
        registry = Path(folder) / "registry"
        version = rephrasing.published(registry, Path(folder) / "run")
        toys.promoted(registry, version)
        with load_engine(registry, toys.MODEL, None, ServeConfig(waiting_rows_max=4096)) as engine:
            while replies < REPLIES[quick]:
                request, kept = call_of(number, texts)
                for each, own in zip(engine.answer(request).results, kept, strict=True):
                    miscounted += len(each.variations) + len(each.missing) != COUNT
                    held = [
                        is_held(one, own, request.constraints.banned) for one in each.variations
                    ]
                    replies, unheld = replies + len(held), unheld + held.count(False)
                number += 1
            ratio = cost_ratio(engine, texts)
    figures = {
        "replies": float(replies),
        "replies_that_lost_a_lock": float(unheld),
        "sentences_without_n_or_reasons": float(miscounted),
        "requests": float(number),
        "cost_ratio": ratio,
    }
    targets = {"replies_that_lost_a_lock": 0.0, "sentences_without_n_or_reasons": 0.0}
    if not quick:
        targets["cost_ratio"] = COST_MAX
    return Found(figures, targets, not (unheld or miscounted) and (quick or ratio <= COST_MAX))


if __name__ == "__main__":
    run_drill("locks", drill)
