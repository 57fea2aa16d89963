"""A candidate is evaluated against the current champion, and the gate's decision is attached."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.canaries import Canary, read_canaries
from textvae.engine.load import load_networks
from textvae.errors import CorruptError, InputError, NotFoundError
from textvae.evaluation.cache import EvaluationInputs, cached_elbo_nats, cached_evaluation
from textvae.evaluation.diagnosis import Diagnosis, diagnose
from textvae.evaluation.evaluate import Evaluation
from textvae.evaluation.holdout import newest_set
from textvae.evaluation.length_limits import filter_by_length, sentences_within_limits
from textvae.evaluation.memorization import Memorization, check_memorization
from textvae.progress import ProgressCallback
from textvae.release.gate import Baseline, Decision, days_served, decide, decision_numbers
from textvae.release.model_drift import ScoredSentences, drift_under_model
from textvae.release.paired_test import Comparison, compare_pairs
from textvae.settings import to_mapping
from textvae.store.attachments import json_values
from textvae.store.decisions import attach_decision
from textvae.store.promotions import (
    Promotion,
    current_promotion,
    promoted_version,
    promotion_history,
)
from textvae.store.versions import Version

log = logging.getLogger(__name__)

# Damaged, missing, or made for another textvae. A disk error is none of these: the job ends with 74
# and is tried again.
_UNREADABLE = (CorruptError, NotFoundError, InputError)


class Judgement(NamedTuple):
    """The evaluation of a candidate, its diagnosis, and the decision of the gate."""

    evaluation: Evaluation
    """Without figures where its weights cannot be used."""
    decision: Decision
    promotion: int
    """Number of the promotion whose champion it was compared with; 0 where there was none."""
    diagnosis: Diagnosis
    drift: dict[str, Any] | None
    """As `drift_under_model`; None without a version to compare with."""


def judge_candidate(
    store: StoreConfig,
    inputs: EvaluationInputs,
    evaluation: EvaluationConfig,
    gate: GateConfig,
    serve: ServeConfig,
    now: str,
    on_progress: ProgressCallback,
) -> Judgement:
    """Evaluate and diagnose the version, and decide on it against the current champion.

    A fatal diagnosis rejects, whatever the gate's floors. Sentences are measured that a service
    with the limits of `serve` takes. Raises InputError for a list of canaries that cannot be used.

    The decision is attached under the champion's promotion number: once another champion serves,
    it no longer counts. `now` is the time in UTC, as 2026-11-23T02:15:00Z.
    """
    registry, version = store.registry, inputs.version
    canaries = read_canaries(gate.canaries)
    promotion = current_promotion(registry, version.model)
    champion = _find_baseline(registry, version, promotion)
    found, diagnosis, leaks, faults = _examine_candidate(
        registry, inputs, canaries, evaluation, serve, on_progress
    )
    comparison = _BaselineComparison()
    if champion.version and not inputs.faults:
        pair = _VersionPair(registry, version, champion.version, evaluation, serve, on_progress)
        comparison = _compare_with_baseline(pair, store.spans, inputs, gate, champion.days(now))
    baseline, sealed, drift = comparison
    reasons = leaks.reasons() if leaks else ()
    unreadable, serves = champion.unreadable, champion.is_candidate
    decision = decide(found.figures, baseline, gate, faults, unreadable, serves, reasons)
    record = {
        **decision._asdict(),
        **decision_numbers(found.figures, baseline, gate),
        "verdict": diagnosis.verdict,
        "gate": to_mapping(gate),
        "sentences": len(found.elbo_nats),
        "sealed": sealed._asdict() if sealed else None,
        "canaries": leaks.record() if leaks else None,
        "drift": drift,
        "against": champion.version.name if champion.version else None,
        "at": now,
    }
    number = promotion.number if promotion else 0
    attach_decision(registry, version, number, json_values(record))
    return Judgement(found, decision, number, diagnosis, drift)


class _CandidateFindings(NamedTuple):
    """Findings about the candidate alone."""

    evaluation: Evaluation
    diagnosis: Diagnosis
    leaks: Memorization | None
    faults: Sequence[str]


def _examine_candidate(
    registry: Path,
    inputs: EvaluationInputs,
    canaries: Sequence[Canary],
    config: EvaluationConfig,
    serve: ServeConfig,
    on_progress: ProgressCallback,
) -> _CandidateFindings:
    """Return its evaluation, its diagnosis, the canaries that it reproduces, its faults in words.

    Of a version whose weights cannot be used the faults are all there is.
    """
    if inputs.faults:
        diagnosis = Diagnosis("unmeasured", list(inputs.faults), ["train again"])
        return _CandidateFindings(
            Evaluation({}, [], [], [], [], []), diagnosis, None, inputs.faults
        )
    sentences = sentences_within_limits(inputs.sentences, [inputs.version.folder], serve)
    found = cached_evaluation(registry, inputs.version, sentences, config, serve, on_progress)
    diagnosis = diagnose(found.figures)
    leaks = check_memorization(inputs.version, found.draws, canaries, serve.tokens_max)
    return _CandidateFindings(
        found, diagnosis, leaks, diagnosis.findings if diagnosis.fatal else ()
    )


class _BaselineComparison(NamedTuple):
    """Comparisons of the candidate with its baseline."""

    baseline: Baseline | None = None
    sealed: Comparison | None = None
    drift: dict[str, Any] | None = None
    """Drift of the newest text, under the baseline."""


def _compare_with_baseline(
    pair: "_VersionPair",
    spans: Path,
    inputs: EvaluationInputs,
    gate: GateConfig,
    days: float | None,
) -> _BaselineComparison:
    """Compare on the sets that decide, and on the sealed one. Raises DataError where none of the
    holdout is short enough for both."""
    sentences_max = gate.sentences or None
    texts = [row.text for row in inputs.test[:sentences_max]]
    folders = [pair.candidate.folder, pair.champion.folder]
    holdout = pair.compare(sentences_within_limits(texts, folders, pair.serve))
    assert holdout, "`sentences_within_limits` left a sentence"
    learned = pair.champion.manifest["spans"]
    newest = pair.compare(newest_set(spans, learned, pair.config.sealed_share, gate))
    sealed = pair.compare([row.text for row in inputs.sealed[:sentences_max]])
    drift = drift_under_model(pair.champion, holdout.scored, newest.scored if newest else None)
    baseline = Baseline(holdout.comparison, newest.comparison if newest else None, days)
    return _BaselineComparison(baseline, sealed.comparison if sealed else None, drift)


class _BaselineVersion(NamedTuple):
    """The version that a candidate is compared with."""

    version: Version | None = None
    promoted_at: str = ""
    """When it began to serve."""
    unreadable: str = ""
    """That the champion cannot be read, in words; `version` served before it."""
    is_candidate: bool = False
    """The candidate is the champion, and there is no version to compare it with."""

    def days(self, now: str) -> float | None:
        """Return how many days it has served; None where that cannot be known."""
        return days_served(self.promoted_at, now)


def _find_baseline(
    registry: Path, version: Version, promotion: Promotion | None
) -> _BaselineVersion:
    """Return the champion; where it cannot be read, the newest one before it that can.

    No server starts from a damaged champion, so that a candidate no worse than the last readable
    one is safer than to wait for an operator.
    """
    if promotion is None:
        return _BaselineVersion()
    if promotion.version == version.name:
        return _BaselineVersion(is_candidate=True)
    try:
        return _BaselineVersion(_open_promoted(registry, version.model, promotion), promotion.at)
    except _UNREADABLE as error:
        problem = str(error).replace(f"{registry}/", "")
    unreadable = f"the champion {promotion.version} cannot be read any more: {problem}"
    log.error("%s", unreadable)
    tried = {promotion.version, version.name}
    for earlier in reversed(promotion_history(registry, version.model)):
        if earlier.version in tried:
            continue
        tried.add(earlier.version)
        try:
            opened = _open_promoted(registry, version.model, earlier)
        except _UNREADABLE as error:
            log.error("%s served before it and cannot be read either: %s", earlier.version, error)
            continue
        return _BaselineVersion(opened, earlier.at, unreadable)
    return _BaselineVersion(unreadable=unreadable)


def _open_promoted(registry: Path, model: str, promotion: Promotion) -> Version:
    """Return a version that served, with weights that this textvae can read."""
    version = promoted_version(registry, model, promotion)
    load_networks(version)
    return version


class _PairResult(NamedTuple):
    """Two versions on one set."""

    comparison: Comparison
    scored: ScoredSentences
    """The sentences with the champion's ELBOs."""


class _VersionPair(NamedTuple):
    """Two versions that are compared."""

    registry: Path
    candidate: Version
    champion: Version
    config: EvaluationConfig
    serve: ServeConfig
    on_progress: ProgressCallback

    def compare(self, sentences: Sequence[str]) -> _PairResult | None:
        """Compare both on these sentences; None where none is short enough for both."""
        versions = (self.candidate, self.champion)
        short = filter_by_length(sentences, [one.folder for one in versions], self.serve)
        if not short:
            return None
        candidate, champion = (
            cached_elbo_nats(
                self.registry, version, short, self.config, self.serve, self.on_progress
            )
            for version in versions
        )
        return _PairResult(compare_pairs(candidate, champion), ScoredSentences(short, champion))
