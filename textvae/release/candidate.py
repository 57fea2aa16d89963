"""A candidate judged against the champion of this moment, and the decision attached with it."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
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
from textvae.release.gate import Baseline, Decision, days_served, decide, numbers
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

# Damaged, gone, or written for another textvae. A disk that refuses is none of these: the job ends
# with 74 and is tried again.
_UNREADABLE = (CorruptError, NotFoundError, InputError)


class Judgement(NamedTuple):
    """What was found of a version, and against whom."""

    evaluation: Evaluation
    """Without figures where its weights cannot be used."""
    decision: Decision
    promotion: int
    """Number of the promotion whose champion it was judged against; 0 where there was none."""
    diagnosis: Diagnosis
    drift: dict[str, Any] | None
    """As `drift_under_model`; None where it was compared with nobody."""


def judge_candidate(
    store: StoreConfig,
    patient: EvaluationInputs,
    evaluation: EvaluationConfig,
    gate: GateConfig,
    now: str,
    on_progress: ProgressCallback,
) -> Judgement:
    """The version's evaluation, the doctor's diagnosis, and the gate's decision against the
    champion of this moment. A diagnosis that is fatal rejects, whatever the gate's floors.
    InputError for a list of canaries that cannot be used.

    The decision is attached under the champion's promotion number: once another champion serves,
    it no longer counts. `now` is the time in UTC, as 2026-11-23T02:15:00Z.
    """
    registry, version = store.registry, patient.version
    canaries = read_canaries(gate.canaries)
    promotion = current_promotion(registry, version.model)
    opponent = _find_baseline(registry, version, promotion)
    found, diagnosis, leaks, faults = _examine_candidate(
        registry, patient, canaries, evaluation, on_progress
    )
    compared_on = _BaselineComparison()
    if opponent.version and not patient.faults:
        beside = _VersionPair(registry, version, opponent.version, evaluation, on_progress)
        compared_on = _compare_with_baseline(beside, store.spans, patient, gate, opponent.days(now))
    rival, sealed, drift = compared_on
    decision = decide(
        found.figures,
        rival,
        gate,
        faults,
        opponent.unreadable,
        opponent.is_candidate,
        leaks.reasons() if leaks else (),
    )
    record = {
        **decision._asdict(),
        **numbers(found.figures, rival, gate),
        "verdict": diagnosis.verdict,
        "gate": to_mapping(gate),
        "sentences": len(found.elbo_nats),
        "sealed": sealed._asdict() if sealed else None,
        "canaries": leaks.record() if leaks else None,
        "drift": drift,
        "against": opponent.version.name if opponent.version else None,
        "at": now,
    }
    number = promotion.number if promotion else 0
    attach_decision(registry, version, number, json_values(record))
    return Judgement(found, decision, number, diagnosis, drift)


class _CandidateFindings(NamedTuple):
    """What was found of the candidate beside nobody."""

    evaluation: Evaluation
    diagnosis: Diagnosis
    leaks: Memorization | None
    faults: Sequence[str]


def _examine_candidate(
    registry: Path,
    patient: EvaluationInputs,
    canaries: Sequence[Canary],
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> _CandidateFindings:
    """Its evaluation, what the doctor says, the canaries that it reproduces, its faults in words.

    Of one whose weights cannot be used nothing is known but that.
    """
    if patient.faults:
        diagnosis = Diagnosis("unmeasured", list(patient.faults), ["train again"])
        return _CandidateFindings(
            Evaluation({}, [], [], [], [], []), diagnosis, None, patient.faults
        )
    sentences = sentences_within_limits(patient.sentences, [patient.version.folder])
    found = cached_evaluation(registry, patient.version, sentences, config, on_progress)
    diagnosis = diagnose(found.figures)
    leaks = check_memorization(patient.version, found.draws, canaries)
    return _CandidateFindings(
        found, diagnosis, leaks, diagnosis.findings if diagnosis.fatal else ()
    )


class _BaselineComparison(NamedTuple):
    """How the candidate did beside its opponent."""

    rival: Baseline | None = None
    sealed: Comparison | None = None
    drift: dict[str, Any] | None = None
    """Of the newest text, under the opponent."""


def _compare_with_baseline(
    beside: "_VersionPair",
    spans: Path,
    patient: EvaluationInputs,
    gate: GateConfig,
    days: float | None,
) -> _BaselineComparison:
    """On the sets that decide, and on the one that does not. DataError where none of the holdout
    is short enough for both."""
    most = gate.sentences or None
    folders = [beside.candidate.folder, beside.champion.folder]
    holdout = beside.on(sentences_within_limits([row.text for row in patient.test[:most]], folders))
    assert holdout, "`sentences_within_limits` left a sentence"
    learned = beside.champion.manifest["spans"]
    newest = beside.on(newest_set(spans, learned, beside.config.sealed_share, gate))
    sealed = beside.on([row.text for row in patient.sealed[:most]])
    drift = drift_under_model(beside.champion, holdout.scored, newest.scored if newest else None)
    rival = Baseline(holdout.comparison, newest.comparison if newest else None, days)
    return _BaselineComparison(rival, sealed.comparison if sealed else None, drift)


class _BaselineVersion(NamedTuple):
    """Whom a candidate is compared with."""

    version: Version | None = None
    promoted_at: str = ""
    """When it began to serve."""
    unreadable: str = ""
    """That the champion cannot be read, in words; `version` served before it."""
    is_candidate: bool = False
    """The candidate serves itself, and is compared with nobody."""

    def days(self, now: str) -> float | None:
        """How long it has served; None where that cannot be known."""
        return days_served(self.promoted_at, now)


def _find_baseline(
    registry: Path, version: Version, promotion: Promotion | None
) -> _BaselineVersion:
    """The champion; where it cannot be read, the newest one before it that can.

    No server starts from a damaged champion, so that a candidate no worse than the last whole one
    is safer than to wait for people.
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
    for before in reversed(promotion_history(registry, version.model)):
        if before.version in tried:
            continue
        tried.add(before.version)
        try:
            opened = _open_promoted(registry, version.model, before)
        except _UNREADABLE as error:
            log.error("%s served before it and cannot be read either: %s", before.version, error)
            continue
        return _BaselineVersion(opened, before.at, unreadable)
    return _BaselineVersion(unreadable=unreadable)


def _open_promoted(registry: Path, model: str, promotion: Promotion) -> Version:
    """A version that served, with weights that this textvae can read."""
    version = promoted_version(registry, model, promotion)
    load_networks(version)
    return version


class _PairResult(NamedTuple):
    """Two versions on one set."""

    comparison: Comparison
    scored: ScoredSentences
    """By the champion."""


class _VersionPair(NamedTuple):
    """Two versions to be compared."""

    registry: Path
    candidate: Version
    champion: Version
    config: EvaluationConfig
    on_progress: ProgressCallback

    def on(self, sentences: Sequence[str]) -> _PairResult | None:
        """Both on these sentences; None where none of them is whole to both."""
        versions = (self.candidate, self.champion)
        kept = filter_by_length(sentences, [one.folder for one in versions])
        if not kept:
            return None
        pair = [
            cached_elbo_nats(self.registry, one, kept, self.config, self.on_progress)
            for one in versions
        ]
        return _PairResult(compare_pairs(*pair), ScoredSentences(kept, pair[1]))
