"""`python -m jobs.report`: what there is to know of a version, as one page and a model card."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from jobs.command import run_job
from jobs.progress import show_progress
from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig
from textvae.corpus.data_report import report_lines
from textvae.errors import CorruptError, NotFoundError
from textvae.evaluation.cache import cached_evaluation, prepare_inputs
from textvae.evaluation.diagnosis import diagnose
from textvae.evaluation.length_limits import sentences_within_limits
from textvae.reporting.history import read_history
from textvae.reporting.page import Findings, Side, report_files
from textvae.reporting.probes import NO_OUTPUTS, probe_outputs
from textvae.store.attachments import attach
from textvae.store.decisions import read_decisions
from textvae.store.promotions import promotion_history
from textvae.store.versions import Version, open_version

log = logging.getLogger(__name__)

PROBES = 8
"""Sentences that are shown every night."""
UNUSABLE = "unusable"
"""The verdict on a version that no doctor can see."""


@dataclass(frozen=True)
class Report:
    """Writes the report of a version beside the one that it stood or stands against.

    The attachment `report-...` holds index.html, which needs nothing else, and card.md.
    """

    version: str = ""
    """Name of the version; empty: the newest."""
    run: Path | None = None
    """Folder of its training, for the picture of its losses; the nightly job gives it."""
    store: StoreConfig = StoreConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


def main(settings: Report) -> dict[str, Any]:
    """Outcome `reported` and where the page is; of a version whose weights cannot be used it says
    that, and nothing of how it sounds."""
    store = settings.store
    patient = prepare_inputs(store, settings.version, settings.evaluation)
    version = patient.version
    if patient.faults:
        candidate, champion, probes = Side(version, {}, [], NO_OUTPUTS), None, list[str]()
        verdict, said = UNUSABLE, list(patient.faults)
    else:
        candidate, champion, probes = _sides(settings, version, patient.sentences)
        diagnosis = diagnose(candidate.figures)
        verdict, said = diagnosis.verdict, diagnosis.findings
    metrics = settings.run / "metrics.jsonl" if settings.run else None
    content = report_files(
        Findings(
            candidate,
            champion,
            probes,
            list(chain(*read_decisions(store.registry, version).values())),
            verdict,
            said,
            _span_lines(store, version),
            metrics if metrics and metrics.exists() else None,
            read_history(store.registry, store.model),
        )
    )
    digest = hashlib.sha256(content["index.html"]).hexdigest()
    folder = attach(store.registry, version, f"report-{digest[:8]}", content)
    return {"outcome": "reported", "version": version.name, "page": str(folder / "index.html")}


def _sides(
    settings: Report, version: Version, held_out: Sequence[str]
) -> tuple[Side, Side | None, list[str]]:
    """The version, whom it is compared with, and the sentences that both are heard on."""
    registry, rival = settings.store.registry, _baseline(settings.store, version)
    both = [version, rival] if rival else [version]
    sentences = sentences_within_limits(held_out, both)
    probes, sides = sentences[:PROBES], []
    with show_progress() as on_progress:
        for each in both:
            found = cached_evaluation(registry, each, sentences, settings.evaluation, on_progress)
            voice = probe_outputs(registry, each, probes)
            sides.append(Side(each, found.figures, found.elbo_nats, voice))
    return sides[0], sides[1] if rival else None, probes


def _baseline(store: StoreConfig, version: Version) -> Version | None:
    """The champion that it stands against, or that it followed; None for the first."""
    promotions = promotion_history(store.registry, store.model)
    if not promotions:
        return None
    name = promotions[-1].version
    if name == version.name:
        name = promotions[-1].previous
    try:
        return open_version(store.registry, store.model, name) if name else None
    except (CorruptError, NotFoundError) as error:
        log.warning("nobody to compare with: %s", error)
        return None


def _span_lines(store: StoreConfig, version: Version) -> dict[str, list[str]]:
    """The data report of each span that it was made of and that is still there."""
    found = {}
    for span in version.manifest["spans"]:
        path = store.spans / span / "report.json"
        if path.is_file():
            found[span] = report_lines(json.loads(path.read_bytes()))
    return found


if __name__ == "__main__":
    run_job("report", Report, main)
