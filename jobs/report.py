"""`python -m jobs.report`: the report of a version, as one page and a model card."""

import hashlib
import json
import logging
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.data_report import report_lines
from textvae.errors import CorruptError, NotFoundError
from textvae.store.attachments import attach
from textvae.store.decisions import read_decisions
from textvae.store.promotions import promotion_history
from textvae.store.versions import Version, open_version

from .command import run_job
from .progress import show_progress

if TYPE_CHECKING:
    from textvae.evaluation.cache import EvaluationInputs
    from textvae.reporting.page import Side

log = logging.getLogger(__name__)

PROBES = 8
"""Sentences that every report shows."""
UNUSABLE = "unusable"
"""The verdict on a version whose weights cannot be used."""


@dataclass(frozen=True)
class Report:
    """Writes the report of a version, with the champion that it is compared with.

    The attachment `report-...` holds index.html, which needs nothing else, and card.md.
    """

    version: str = ""
    """Name of the version, or champion, or newest; empty: the newest."""
    run: Path | None = None
    """Folder of its training, for the picture of its losses; the nightly job gives it."""
    store: StoreConfig = StoreConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    serve: ServeConfig = ServeConfig()


def main(settings: Report) -> dict[str, Any]:
    """Return outcome `reported` and the path of the page.

    The report of a version whose weights cannot be used says so and shows no output of it.
    """
    from textvae.evaluation.cache import prepare_inputs
    from textvae.evaluation.diagnosis import diagnose
    from textvae.reporting.history import read_history
    from textvae.reporting.page import Findings, Side, report_files
    from textvae.reporting.pictures import draw_pictures
    from textvae.reporting.probes import NO_OUTPUTS

    store = settings.store
    inputs = prepare_inputs(store, settings.version, settings.evaluation, settings.serve)
    version = inputs.version
    if inputs.faults:
        candidate, champion, probes = Side(version, {}, [], NO_OUTPUTS), None, list[str]()
        verdict, words = UNUSABLE, list(inputs.faults)
    else:
        candidate, champion, probes = _sides(settings, inputs)
        diagnosis = diagnose(candidate.figures)
        verdict, words = diagnosis.verdict, diagnosis.findings
    metrics = settings.run / "metrics.jsonl" if settings.run else None
    found = Findings(
        candidate,
        champion,
        probes,
        list(chain(*read_decisions(store.registry, version).values())),
        verdict,
        words,
        _span_lines(store, version),
        metrics if metrics and metrics.exists() else None,
        read_history(store.registry, store.model),
    )
    pictures = draw_pictures(
        found.metrics,
        candidate.figures.get("kl_nats_by_dimension"),
        (candidate.elbo_nats, champion.elbo_nats) if champion else None,
    )
    content = report_files(found, pictures)
    digest = hashlib.sha256(content["index.html"]).hexdigest()
    folder = attach(store.registry, version, f"report-{digest[:8]}", content)
    problems = {"problems": pictures.problems} if pictures.problems else {}
    page = str(folder / "index.html")
    return {"outcome": "reported", "version": version.name, "page": page, **problems}


def _sides(settings: Report, inputs: "EvaluationInputs") -> "tuple[Side, Side | None, list[str]]":
    """Return the version, its baseline, and the sentences that outputs of both are shown for."""
    from textvae.evaluation.cache import cached_evaluation
    from textvae.evaluation.length_limits import sentences_within_limits
    from textvae.reporting.page import Side
    from textvae.reporting.probes import probe_outputs

    registry, version = settings.store.registry, inputs.version
    baseline = _baseline(settings.store, version)
    both = [version, baseline] if baseline else [version]
    sentences = sentences_within_limits(
        inputs.sentences, [each.folder for each in both], settings.serve
    )
    probes, sides = sentences[:PROBES], []
    with show_progress() as on_progress:
        for each in both:
            evaluation = cached_evaluation(
                registry,
                each,
                sentences,
                settings.evaluation,
                settings.serve,
                on_progress,
                inputs.groups,
                inputs.labelled,
            )
            outputs = probe_outputs(registry, each, probes, settings.serve)
            sides.append(Side(each, evaluation.figures, evaluation.elbo_nats, outputs))
    return sides[0], sides[1] if baseline else None, probes


def _baseline(store: StoreConfig, version: Version) -> Version | None:
    """Return the champion that the version competes with or followed; None for the first."""
    promotions = promotion_history(store.registry, store.model)
    if not promotions:
        return None
    name = promotions[-1].version
    if name == version.name:
        name = promotions[-1].previous
    try:
        return open_version(store.registry, store.model, name) if name else None
    except (CorruptError, NotFoundError) as error:
        log.warning("there is no version to compare with: %s", error)
        return None


def _span_lines(store: StoreConfig, version: Version) -> dict[str, list[str]]:
    """Return the data report of each span the version was trained on that still exists, and how
    long its sentences are in tokens."""
    reports = {}
    for span in version.manifest["spans"]:
        path = store.spans / span / "report.json"
        if path.is_file():
            reports[span] = report_lines(json.loads(path.read_bytes()))
    if tokens := version.manifest.get("sentence_tokens"):
        from textvae.text.token_source import TokenLengths

        reports["in tokens"] = [TokenLengths(**tokens).line]
    return reports


if __name__ == "__main__":
    run_job("report", Report, main)
