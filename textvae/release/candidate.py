"""A candidate is evaluated against the current champion, and the gate's decision is attached."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.canaries import Canary, read_canaries
from textvae.evaluation.cache import (
    EvaluationInputs,
    cached_elbo_nats,
    cached_evaluation,
    cached_sibling_nats,
)
from textvae.evaluation.diagnosis import Diagnosis, diagnose
from textvae.evaluation.evaluate import Evaluation
from textvae.evaluation.held_out_groups import learned_siblings
from textvae.evaluation.holdout import newest_set
from textvae.evaluation.length_limits import (
    filter_by_length,
    groups_within_limits,
    sentences_within_limits,
)
from textvae.evaluation.memorization import Memorization, check_memorization
from textvae.evaluation.variations import HeldOutGroup
from textvae.progress import ProgressCallback
from textvae.release.baseline import find_baseline
from textvae.release.gate import Baseline, Decision, decide, decision_numbers
from textvae.release.model_drift import ScoredSentences, drift_under_model
from textvae.release.paired_test import Comparison, compare_pairs
from textvae.settings import to_mapping
from textvae.store.attachments import json_values
from textvae.store.decisions import attach_decision
from textvae.store.promotions import current_promotion
from textvae.store.versions import Version

GROUPS_MIN = 50
"""Fewest held-out groups that are compared: fewer would reject most equal versions."""


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
    variations: str
    """Whether variations were judged, in words, and why not."""


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
    champion = find_baseline(registry, version, promotion)
    found, diagnosis, leaks, faults = _examine_candidate(
        registry, inputs, canaries, evaluation, serve, on_progress
    )
    comparison = _BaselineComparison()
    if champion.version and not inputs.faults:
        pair = _VersionPair(registry, version, champion.version, evaluation, serve, on_progress)
        comparison = _compare_with_baseline(pair, store.spans, inputs, gate, champion.days(now))
    baseline, sealed, drift = comparison
    reasons = leaks.reasons() if leaks else ()
    variations = _describe_variations(inputs, found.figures, baseline and baseline.siblings)
    unreadable, serves = champion.unreadable, champion.is_candidate
    decision = decide(found.figures, baseline, gate, faults, unreadable, serves, reasons)
    record = {
        **decision._asdict(),
        **decision_numbers(found.figures, baseline, gate),
        "variations": variations,
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
    return Judgement(found, decision, number, diagnosis, drift, variations)


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
    found = cached_evaluation(
        registry,
        inputs.version,
        sentences,
        config,
        serve,
        on_progress,
        inputs.groups,
        inputs.labelled,
    )
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
    siblings = pair.compare_siblings(inputs.groups[: gate.groups])
    baseline = Baseline(holdout.comparison, newest.comparison if newest else None, days, siblings)
    return _BaselineComparison(baseline, sealed.comparison if sealed else None, drift)


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

    def compare_siblings(self, groups: Sequence[HeldOutGroup]) -> Comparison | None:
        """Compare the nats of siblings group by group, negative as ELBOs are; None where neither
        version learned from siblings, or too few groups are short enough for both."""
        versions = (self.candidate, self.champion)
        if not any(map(learned_siblings, versions)):
            return None
        short = list(groups)
        for version in versions:
            short = groups_within_limits(short, version.folder, self.serve)
        if len(short) < GROUPS_MIN:
            return None
        candidate, champion = (
            [
                -nats
                for nats in cached_sibling_nats(
                    self.registry, version, short, self.config, self.serve, self.on_progress
                )
            ]
            for version in versions
        )
        return compare_pairs(candidate, champion)


def _describe_variations(
    inputs: EvaluationInputs, figures: Mapping[str, Any], siblings: Comparison | None
) -> str:
    """Describe in words whether variations were judged, and why not."""
    groups = len(inputs.groups)
    if not groups:
        return "not judged: the test side has no groups of two sentences (data.group_column)"
    judged = []
    if "variation_adequacy" in figures:
        judged.append(
            f"the adequacy of variations of {figures['variation_groups']} held-out groups"
        )
    if siblings:
        judged.append(f"the nats of siblings of {siblings.sentences}")
    if judged:
        return f"judged by {' and '.join(judged)}"
    if not learned_siblings(inputs.version):
        return "not judged: the version learned from no siblings (training.sibling_share)"
    return f"not judged: the test side has {groups} groups within the limits"
