"""How a version sounds: what it writes of a few sentences that are the same every night."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from textvae.config.serve import ServeConfig
from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.operations.interpolate import InterpolateRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.start import start_engine
from textvae.evaluation.length_limits import measuring_config
from textvae.store.versions import Version

SAMPLES, STEPS = 8, 7
SEED = 0


class ProbeOutputs(NamedTuple):
    """What a version writes, greedily."""

    reconstructions: list[str]
    """Of each probe."""
    samples: list[str]
    """Draws of its prior, the same draws every night."""
    homotopy: list[str]
    """From the first probe to the second."""


NO_OUTPUTS = ProbeOutputs([], [], [])
"""Of a version that cannot write."""


def probe_outputs(
    registry: Path, version: Version, probes: Sequence[str], serve: ServeConfig
) -> ProbeOutputs:
    """What the version makes of the probes, two or more that it can read."""
    with start_engine(registry, version, measuring_config(serve)) as engine:
        means = engine.answer(EncodeRequest(tuple(probes))).mean
        rebuilt = engine.answer(DecodeRequest(means)).sentences
        drawn = engine.answer(SampleRequest(SAMPLES, seed=SEED)).sentences
        path = engine.answer(InterpolateRequest((probes[0], probes[1]), STEPS)).sentences
    return ProbeOutputs(*([one.text for one in written] for written in (rebuilt, drawn, path)))
