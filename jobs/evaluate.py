"""`python -m jobs.evaluate`: fits a version's prior, measures the version and runs the gate."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.canaries import read_canaries
from textvae.errors import RejectedError
from textvae.progress import ProgressCallback

from .command import run_job, utc_now
from .progress import show_progress

if TYPE_CHECKING:
    from textvae.evaluation.cache import EvaluationInputs


@dataclass(frozen=True)
class Evaluate:
    """Measures a version on held-out text and compares it with the champion, pair by pair."""

    version: str = ""
    """Name of the version, or champion, or newest; empty: the newest."""
    store: StoreConfig = StoreConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    serve: ServeConfig = ServeConfig()


def main(settings: Evaluate, now: str = "") -> dict[str, Any]:
    """Return outcome `first`, `accepted` or `rejected`, with the figures, the reasons, the doctor's
    verdict and what int8 changes (None where it cannot be computed).

    With --gate.strict RejectedError is raised instead of `rejected`. `now` is the time in UTC,
    empty for the clock's: only the age of the champion depends on it.
    """
    from textvae.evaluation.cache import prepare_inputs
    from textvae.evaluation.length_limits import sentences_within_limits
    from textvae.evaluation.quantization import check_int8
    from textvae.release.candidate import judge_candidate
    from textvae.release.model_drift import model_drift_lines
    from textvae.reporting.console import print_decision, print_diagnosis, print_figures

    store, gate = settings.store, settings.gate
    read_canaries(gate.canaries)  # so that a wrong list costs no evaluation
    serve = settings.serve
    inputs = prepare_inputs(
        store, settings.version, settings.evaluation, serve, gate.sentences, gate.groups
    )
    version = inputs.version
    with show_progress() as on_progress:
        evaluation, decision, promotion, diagnosis, drift, variations = judge_candidate(
            store, inputs, settings.evaluation, gate, serve, now or utc_now(), on_progress
        )
        samples = _generation_figures(settings, inputs, on_progress) if evaluation.figures else {}
    int8 = None
    if evaluation.figures:
        sentences = sentences_within_limits(inputs.sentences, [version.folder], serve)
        int8 = check_int8(store.registry, version, sentences)
        print_figures(evaluation.figures)
    print_diagnosis(diagnosis)
    print_decision(decision, variations, model_drift_lines(drift) if drift else ())
    if decision.decision == "rejected" and gate.strict:
        raise RejectedError(f"{version.name}: {'; '.join(decision.reasons)}")
    return {
        "outcome": decision.decision,
        "kind": decision.kind,
        "version": version.name,
        "verdict": diagnosis.verdict,
        "reasons": decision.reasons,
        "promotion": promotion,
        "variations": variations,
        "int8": int8._asdict() if int8 else None,
        "figures": {**evaluation.figures, **samples},
    }


def _generation_figures(
    settings: Evaluate, inputs: "EvaluationInputs", on_progress: ProgressCallback
) -> dict[str, Any]:
    """Return the figures of samples, paths and labels; none where they are not asked for."""
    from textvae.evaluation.generation_cache import cached_generation_figures
    from textvae.evaluation.length_limits import sentences_within_limits

    if not settings.evaluation.generation_sentences:
        return {}
    rows = {row.text: row for row in inputs.test}
    texts = sentences_within_limits(inputs.sentences, [inputs.version.folder], settings.serve)
    return cached_generation_figures(
        settings.store.registry,
        inputs.version,
        inputs.learned,
        [rows[text] for text in texts],
        settings.evaluation,
        settings.serve,
        on_progress,
    )


if __name__ == "__main__":
    run_job("evaluate", Evaluate, main)
