"""The figures of a row: evaluation, paired differences, samples and verdict."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.config.training import TrainingConfig
from textvae.engine.load import PRIOR_ATTACHMENT
from textvae.engine.start import start_engine
from textvae.errors import CollapsedError
from textvae.evaluation.diagnosis import diagnose
from textvae.evaluation.evaluate import Evaluation, evaluate
from textvae.evaluation.fit_prior import fit_version_prior
from textvae.evaluation.generation_cache import sample_figures
from textvae.evaluation.length_limits import groups_within_limits, sentences_within_limits
from textvae.evaluation.variations import HeldOutGroup
from textvae.progress import ProgressCallback
from textvae.store.attachments import list_attachments
from textvae.store.versions import Version
from textvae.text.sentence import Sentence
from textvae.training.validation import check_collapse

NORMAL_95 = 1.96
"""Two-sided 95 % point of the normal distribution."""


def row_figures(
    registry: Path,
    version: Version,
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    config: EvaluationConfig,
    threads: int,
    on_progress: ProgressCallback,
    groups: Sequence[HeldOutGroup] = (),
) -> dict[str, Any]:
    """Return all figures of a version, after its prior is fitted if it has none.

    Losses are in nats per sentence. `verdict` and `findings` are the doctor's. Samples and paths
    are scored where `config.generation_sentences` is not 0. Raises CorruptError, DataError.
    """
    serve = ServeConfig(threads=threads)
    if PRIOR_ATTACHMENT not in list_attachments(registry, version):
        on_progress("prior", 0, 1, {})
        texts = sentences_within_limits([row.text for row in train], [version.folder], serve)
        with start_engine(registry, version, serve) as engine:
            fit_version_prior(registry, version, engine, texts, config)
        on_progress("prior", 1, 1, {})
    with start_engine(registry, version, serve) as engine:
        found = evaluate(
            version,
            engine,
            [row.text for row in test],
            config,
            on_progress,
            groups_within_limits(groups, version.folder, serve),
        )
        samples = {}
        if config.generation_sentences:
            samples = sample_figures(version, engine, train, test, config, on_progress)
    return {**found.figures, **_bound_differences(found), **samples, **_diagnosis(found.figures)}


def _bound_differences(found: Evaluation) -> dict[str, float]:
    """Return the paired differences of both bounds to the language model."""
    language_model_nats = found.language_model_nats
    return {
        **paired_figures("iw_nll", found.iw_nll_nats, language_model_nats),
        **paired_figures("fitted_iw_nll", found.fitted_iw_nll_nats, language_model_nats),
    }


def paired_figures(
    name: str, nats: Sequence[float], language_model_nats: Sequence[float]
) -> dict[str, float]:
    """Return the mean difference of the same sentences, in nats, with its 95 % interval by the
    normal approximation (NaN for one sentence); below 0 is better than the language model."""
    differences = np.asarray(nats) - np.asarray(language_model_nats)
    mean, count = float(differences.mean()), len(differences)
    error = float(differences.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    figure = f"{name}_minus_language_model_nats"
    return {
        figure: mean,
        f"{figure}_low": mean - NORMAL_95 * error,
        f"{figure}_high": mean + NORMAL_95 * error,
    }


def _diagnosis(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the doctor's verdict and findings on the figures."""
    diagnosis = diagnose(figures)
    return {"verdict": diagnosis.verdict, "findings": diagnosis.findings}


def collapsed_at_step(metrics: Path, training: TrainingConfig) -> int | None:
    """Return the first validation step at which the watchdog would have stopped the run, if any."""
    strict = dataclasses.replace(training, collapse_stops=True)
    for line in metrics.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["phase"] != "vae" or "valid_shuffle_nats" not in entry:
            continue
        try:
            check_collapse(entry, entry["step"], strict)
        except CollapsedError:
            return int(entry["step"])
    return None
