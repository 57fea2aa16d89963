"""`python -m jobs.variations`: how a version paraphrases held-out groups, next to controls."""

import logging
from dataclasses import dataclass
from typing import Any

from textvae.config.data import StoreConfig
from textvae.config.evaluation import CANDIDATES, CANDIDATES_RADIUS, CANDIDATES_TEMPERATURE
from textvae.config.serve import ServeConfig
from textvae.options import CLOSENESS_DEFAULT

from .command import run_job
from .progress import show_progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variations:
    """Measures variations of held-out groups, whose members say the same, next to controls."""

    version: str = ""
    """Name of the version, or champion, or newest; empty: the newest."""
    groups: int = 500
    """Most groups, drawn by the seed; the third sentence of each is the source."""
    members: int = 5
    """Fewest sentences of a group."""
    candidates: int = CANDIDATES
    """Candidates of each source, of which the axes choose one."""
    radius: float = CANDIDATES_RADIUS
    """Radius of the candidates, in posterior deviations."""
    temperature: float = CANDIDATES_TEMPERATURE
    """Temperature of the candidates."""
    closeness: float = CLOSENESS_DEFAULT
    """What the choice weighs: 1 is faithful, 0 is free."""
    search_steps: int = 0
    """Steps of a search by as many chains as candidates; 0: none is measured, for it takes time."""
    seed: int = 0
    """Seed of groups and candidates."""
    store: StoreConfig = StoreConfig()
    serve: ServeConfig = ServeConfig()


def main(settings: Variations) -> dict[str, Any]:
    """Return outcome `measured`, the figures of each way to vary and of the controls, and what the
    axes are worth. Raises DataError without two groups on the test side."""
    from textvae.corpus.spans import load_spans
    from textvae.engine.start import start_engine
    from textvae.evaluation.paraphrase import CandidateDraws, measure_paraphrases
    from textvae.evaluation.variations import held_out_groups
    from textvae.store.choice import choose_version

    store = settings.store
    test = load_spans(store.spans).test
    groups = held_out_groups(test, settings.groups, settings.members, settings.seed)
    version = choose_version(store.registry, store.model, settings.version)
    how = CandidateDraws(
        settings.candidates,
        settings.radius,
        settings.temperature,
        settings.closeness,
        settings.seed,
        settings.search_steps,
    )
    with (
        show_progress() as on_progress,
        start_engine(store.registry, version, settings.serve) as engine,
    ):
        found = measure_paraphrases(engine, groups, how, on_progress)
    for system, figures in found.systems.items():
        log.info(
            "%-20s iBLEU %5.1f  BLEU %5.1f  self-BLEU %5.1f  retrieval@1 %.2f  copies %.2f",
            system,
            figures.ibleu,
            figures.bleu,
            figures.self_bleu,
            figures.retrieval_at_1,
            figures.copies,
        )
    log.info("adequacy of the chosen %.3f nats a token", found.adequacy)
    log.info("AUC of adequacy %.3f, of fluency %.3f", *found.axes)
    return {
        "outcome": "measured",
        "version": version.name,
        "groups": len(groups),
        "systems": {system: figures._asdict() for system, figures in found.systems.items()},
        "adequacy": found.adequacy,
        "axes": found.axes._asdict(),
    }


if __name__ == "__main__":
    run_job("variations", Variations, main)
