"""Which files mutants are sampled from, and by which tests those of each room are judged."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.drills.source_mutants import Mutant, mutants_of

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
ROOM_MIN = 30


class Room(NamedTuple):
    """Files of a room, and the tests that judge it, the likeliest to see a mutant first."""

    files: str
    """Patterns of its files."""
    tests: str
    slow: str = ""
    """Those that train a model, or ask the trained toy; a quick drill leaves them out."""


ROOMS = {
    "model": Room(
        "textvae/model/*.py",
        "model network gates softmax recurrence schedules bounds native diagnosis products decode "
        "beam",
        "batch_invariance engine traps",
    ),
    "latent": Room(
        "textvae/latent/*.py", "latent gaussian paths", "plans traps evaluate generation"
    ),
    "decode": Room(
        "textvae/decode/*.py",
        "pick decode beam native counter",
        "slots engine batch_invariance turns",
    ),
    "engine": Room(
        "textvae/engine/*.py textvae/engine/operations/*.py",
        "limits candidates",
        "engine_jobs stages plans axes paraphrase likelihood load engine batch_invariance turns "
        "quantization bad_requests serve evaluate generation",
    ),
    "gate": Room(
        "textvae/release/gate.py textvae/release/paired_test.py",
        "gate paired decisions",
        "candidate history",
    ),
}
"""Of each room its mutants and their judges."""
QUICK_ROOMS = "latent gate"


def possible(room: str) -> list[Mutant]:
    """All mutants of a room."""
    files = sorted(path for each in ROOMS[room].files.split() for path in ROOT.glob(each))
    assert files, f"no file is like {ROOMS[room].files}"
    named = [(path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in files]
    return [mutant for name, source in named for mutant in mutants_of(name, source)]


def shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """How many of `count` mutants each room gets: in proportion to its size, of 30 at least."""
    least = min(ROOM_MIN, count // len(sizes))
    given = {room: min(least, size) for room, size in sizes.items()}
    for _ in range(min(count, sum(sizes.values())) - sum(given.values())):
        free = [room for room in sizes if given[room] < sizes[room]]
        given[max(free, key=lambda room: sizes[room] / (given[room] + 1))] += 1
    return given


def draw_mutants(rooms: Sequence[str], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """So many mutants of the rooms, room after room."""
    found = {room: possible(room) for room in rooms}
    given = shares({room: len(some) for room, some in found.items()}, count)
    log.info("%s sampled of %s", given, {room: len(some) for room, some in found.items()})
    ranked = {room: sorted(some, key=lambda one: one.rank(seed)) for room, some in found.items()}
    return [(room, one) for room in rooms for one in ranked[room][: given[room]]]


def tests_of(room: str, quick: bool) -> tuple[str, ...]:
    """The room's test files."""
    row = ROOMS[room]
    names = row.tests.split() + ([] if quick else row.slow.split())
    return tuple(f"tests/test_{name}.py" for name in names)
