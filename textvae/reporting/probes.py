"""Probe outputs: what a version writes greedily for a few fixed held-out sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from textvae.config.serve import ServeConfig
from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.operations.interpolate import InterpolateRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.start import start_engine
from textvae.evaluation.length_limits import measuring_config
from textvae.store.versions import Version

SAMPLES, STEPS = 8, 7
VARIATIONS, CANDIDATES = 2, 8
"""Variations of each probe, and the candidates that are judged for each of them."""
SEED = 0


class ProbeOutputs(NamedTuple):
    """The sentences that a version writes for the probes, greedily."""

    reconstructions: list[str]
    """Of each probe."""
    samples: list[str]
    """Of the same draws of its prior for every version."""
    homotopy: list[str]
    """From the first probe to the second."""
    variations: list[list[str]]
    """Of each probe, the best first, written greedily; VARIATIONS of them or fewer."""
    method: str
    """How the variations are made: rephrase or draw."""


NO_OUTPUTS = ProbeOutputs([], [], [], [], "")
"""Those of a version whose weights cannot be used."""


def probe_outputs(
    registry: Path, version: Version, probes: Sequence[str], serve: ServeConfig
) -> ProbeOutputs:
    """Return the version's outputs for the probes: two or more sentences within its limits.

    Raises CorruptError for a damaged version.
    """
    with start_engine(registry, version, measuring_config(serve)) as engine:
        means = engine.answer(EncodeRequest(tuple(probes))).mean
        reconstructions = engine.answer(DecodeRequest(means)).sentences
        samples = engine.answer(SampleRequest(SAMPLES, seed=SEED)).sentences
        homotopy = engine.answer(InterpolateRequest((probes[0], probes[1]), STEPS)).sentences
        varied = engine.answer(
            ParaphraseRequest(tuple(probes), VARIATIONS, candidates=CANDIDATES, seed=SEED)
        )
    return ProbeOutputs(
        [one.text for one in reconstructions],
        [one.text for one in samples],
        [one.text for one in homotopy],
        [[one.sentence.text for one in each.variations] for each in varied.results],
        varied.method,
    )
