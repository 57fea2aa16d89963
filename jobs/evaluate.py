"""`python -m jobs.evaluate`: fits a version's prior, measures it and asks the gate about it."""

from dataclasses import dataclass
from typing import Any

from jobs.command import run_job
from jobs.progress import shown_progress
from textvae.config import EvaluationConfig, GateConfig, StoreConfig
from textvae.errors import RejectedError
from textvae.measure.judge import admitted, judged, readable
from textvae.measure.precision import check_int8
from textvae.measure.samples import sampled
from textvae.measure.tables import print_diagnosis, print_figures


@dataclass(frozen=True)
class Evaluate:
    """Measures a version on held-out text and compares it with the champion, pair by pair."""

    version: str = ""
    """Name of the version; empty: the newest."""
    store: StoreConfig = StoreConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()


def main(settings: Evaluate) -> dict[str, Any]:
    """Outcome `first`, `accepted` or `rejected`, with the figures, the reasons, the doctor's
    verdict and what int8 changes (None where it cannot be computed).

    RejectedError instead of `rejected` with --gate.strict.
    """
    store = settings.store
    version, sentences, learned, test = admitted(store, settings.version, settings.evaluation)
    with shown_progress() as tell:
        found, decision, promotion, diagnosis = judged(
            store.registry, version, sentences, settings.evaluation, settings.gate, tell
        )
        whole, samples = readable(sentences, [version]), {}
        if settings.evaluation.generation_sentences:
            rows = {row.text: row for row in test}
            asked = [rows[text] for text in whole]
            samples = sampled(store.registry, version, learned, asked, settings.evaluation, tell)
    int8 = check_int8(store.registry, version, whole)
    print_figures(found.figures)
    print_diagnosis(diagnosis)
    if decision.decision == "rejected" and settings.gate.strict:
        raise RejectedError(f"{version.name}: {'; '.join(decision.reasons)}")
    return {
        "outcome": decision.decision,
        "version": version.name,
        "verdict": diagnosis.verdict,
        "reasons": decision.reasons,
        "promotion": promotion,
        "int8": int8._asdict() if int8 else None,
        "figures": {**found.figures, **samples},
    }


if __name__ == "__main__":
    run_job("evaluate", Evaluate, main)
