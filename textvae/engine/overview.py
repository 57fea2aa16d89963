"""What an engine did and has to do, as any thread may read it while the engine works."""

from typing import NamedTuple

from textvae.engine.admission import Admission
from textvae.engine.figures import Tally
from textvae.engine.lane import Lane
from textvae.engine.limits import Load


class Figures(NamedTuple):
    """An engine at one moment."""

    load: Load
    oldest_s: float
    """Age of its oldest request, in seconds."""
    spread: float
    """How far the callers who wait are apart in what they were served, in tokens; 0 is fair."""
    read: tuple[Tally, ...]
    """Of its lanes: the sentences that were read."""
    written: tuple[Tally, ...]
    """Of its lanes: the rows that were written, a token of each a step."""


def load_of(admission: Admission, *lanes: Lane) -> Load:
    """Return how busy the engine of these accounts and lanes is."""
    active = sum(lane.slots.running for lane in lanes)
    waiting = max(admission.rows - active, 0)
    slots = lanes[0].slots.capacity
    return Load(active, waiting, slots, admission.waiting_s, admission.callers)


def figures_of(admission: Admission, *lanes: Lane) -> Figures:
    """Return what the engine of these accounts and lanes did and has to do."""
    return Figures(
        load_of(admission, *lanes),
        admission.oldest_s,
        max(lane.spread for lane in lanes),
        tuple(lane.read_tally for lane in lanes),
        tuple(lane.written_tally for lane in lanes),
    )
