"""`python -m jobs.evaluate`: fits a version's prior, measures it and asks the gate about it."""

from dataclasses import dataclass
from typing import Any

from jobs.command import run_job
from jobs.progress import shown_progress
from textvae.config import EvaluationConfig, GateConfig, StoreConfig
from textvae.errors import DataError, NotFoundError, RejectedError
from textvae.measure.judge import ensure_prior, held_out, judged
from textvae.measure.tables import print_figures
from textvae.store.versions import list_versions, open_version
from textvae.text.spans import load_spans


@dataclass(frozen=True)
class Evaluate:
    """Measures a version on held-out text and compares it with the champion, pair by pair."""

    version: str = ""
    """Name of the version; empty: the newest."""
    store: StoreConfig = StoreConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()


def main(settings: Evaluate) -> dict[str, Any]:
    """Outcome `first`, `accepted` or `rejected`, with the figures and the reasons.

    RejectedError instead of `rejected` with --gate.strict.
    """
    store = settings.store
    names = list_versions(store.registry, store.model)
    if not names:
        raise NotFoundError(f"{store.registry}: no version of {store.model}; python -m jobs.train")
    version = open_version(store.registry, store.model, settings.version or names[0])
    trained_on = load_spans(store.spans, tuple(version.manifest["spans"]))
    texts = [row.text for row in trained_on.train]
    test = load_spans(store.spans).test
    if not test:
        raise DataError(f"{store.spans}: no sentence is on the test side; raise data.test_share")
    ensure_prior(store.registry, version, texts, settings.evaluation)
    sentences = held_out(test, settings.evaluation.sentences)
    with shown_progress() as tell:
        found, decision, promotion = judged(
            store.registry, version, sentences, settings.evaluation, settings.gate, tell
        )
    print_figures(found.figures)
    if decision.decision == "rejected" and settings.gate.strict:
        raise RejectedError(f"{version.name}: {'; '.join(decision.reasons)}")
    return {
        "outcome": decision.decision,
        "version": version.name,
        "reasons": decision.reasons,
        "promotion": promotion,
        "figures": found.figures,
    }


if __name__ == "__main__":
    run_job("evaluate", Evaluate, main)
