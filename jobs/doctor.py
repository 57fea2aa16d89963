"""`python -m jobs.doctor --version NAME`: a verdict on a version in words, with remedies."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.errors import CollapsedError

from .command import run_job
from .progress import show_progress

if TYPE_CHECKING:
    from textvae.store.versions import Version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Doctor:
    """Measures a version on held-out text, or reads its evaluation, and gives a verdict."""

    version: str = ""
    """Name of the version, or champion, or newest; empty: the newest."""
    strict: bool = False
    """End with exit code 4 when the decoder ignores the latent."""
    store: StoreConfig = StoreConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    serve: ServeConfig = ServeConfig()


def main(settings: Doctor) -> dict[str, Any]:
    """Return outcome `healthy` or `unhealthy`, with the version, the verdict, the findings, the
    remedies, and how many epochs it was trained.

    With --strict a verdict `collapsed` or `decoder-ignores-latent` raises CollapsedError instead.
    """
    from textvae.evaluation.cache import cached_evaluation, prepare_inputs
    from textvae.evaluation.diagnosis import diagnose
    from textvae.evaluation.length_limits import sentences_within_limits
    from textvae.reporting.console import print_diagnosis, print_figures

    store = settings.store
    inputs = prepare_inputs(store, settings.version, settings.evaluation, settings.serve)
    version = inputs.version
    sentences = sentences_within_limits(inputs.sentences, [version.folder], settings.serve)
    with show_progress() as on_progress:
        evaluation = cached_evaluation(
            store.registry,
            version,
            sentences,
            settings.evaluation,
            settings.serve,
            on_progress,
            inputs.groups,
            inputs.labelled,
        )
    diagnosis = diagnose(evaluation.figures)
    print_figures(evaluation.figures)
    print_diagnosis(diagnosis)
    epochs = _epochs(version)
    for warning in epochs.get("warnings", []):
        log.warning("%s", warning)
    if diagnosis.fatal and settings.strict:
        words = "; ".join([*diagnosis.findings, *diagnosis.remedies])
        raise CollapsedError(f"{version.name}: {diagnosis.verdict}: {words}")
    return {
        "outcome": "healthy" if diagnosis.healthy else "unhealthy",
        "version": version.name,
        **diagnosis._asdict(),
        **epochs,
    }


def _epochs(version: "Version") -> dict[str, Any]:
    """Return how many epochs the version's training was, and a warning where they were too many."""
    from textvae.settings import read_toml
    from textvae.training.epochs import epochs_facts
    from textvae.version_files import CONFIG_FILE

    if CONFIG_FILE not in version.manifest["files"] or "train_sentences" not in version.manifest:
        return {}
    return epochs_facts(version.manifest, read_toml(version.folder / CONFIG_FILE)["training"].batch)


if __name__ == "__main__":
    run_job("doctor", Doctor, main)
