"""`python -m jobs.intents`: whether variations of held-out sentences keep their label."""

import logging
from dataclasses import dataclass
from typing import Any

from textvae.config.data import StoreConfig
from textvae.config.serve import ServeConfig

from .command import run_job
from .progress import show_progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intents:
    """Measures whether variations of held-out sentences keep label and numbers, next to controls.

    A classifier that learns from the labels of the training side judges them.
    """

    version: str = ""
    """Name of the version, or champion, or newest; empty: the newest."""
    sources: int = 500
    """Most held-out sentences, drawn by the seed."""
    count: int = 3
    """Variations of each."""
    candidates: int = 16
    """Candidates for each variation, of which the axes choose."""
    radius: float = 0.3
    """Radius of the candidates, in posterior deviations."""
    temperature: float = 0.3
    """Temperature of the candidates."""
    closeness: float = 1.0
    """What the choice weighs: 1 is faithful, 0 is free."""
    seed: int = 0
    """Seed of sources and candidates."""
    store: StoreConfig = StoreConfig()
    serve: ServeConfig = ServeConfig()


def main(settings: Intents) -> dict[str, Any]:
    """Return outcome `measured`, the accuracy of the classifier, and the figures of each way to
    vary and of the controls. Raises DataError without two labels."""
    from textvae.corpus.spans import load_spans
    from textvae.engine.start import start_engine
    from textvae.evaluation.intents import LabelDraws, draw_sources, measure_labels
    from textvae.store.choice import choose_version

    store = settings.store
    corpus = load_spans(store.spans)
    sources = draw_sources(corpus.test, settings.sources, settings.seed)
    version = choose_version(store.registry, store.model, settings.version)
    draws = LabelDraws(
        settings.count,
        settings.candidates,
        settings.radius,
        settings.temperature,
        settings.closeness,
        settings.seed,
    )
    with (
        show_progress() as on_progress,
        start_engine(store.registry, version, settings.serve) as engine,
    ):
        found = measure_labels(engine, corpus.train, corpus.test, sources, draws, on_progress)
    log.info("the classifier is right on %.1f %% of held-out sentences", 100 * found.judge_accuracy)
    for system, figures in found.systems.items():
        shares = "  ".join(f"{name} {value:.3f}" for name, value in figures._asdict().items())
        log.info("%-8s %s", system, shares)
    return {
        "outcome": "measured",
        "version": version.name,
        "sources": found.sources,
        "judge_accuracy": found.judge_accuracy,
        "systems": {system: figures._asdict() for system, figures in found.systems.items()},
    }


if __name__ == "__main__":
    run_job("intents", Intents, main)
