"""`python -m tests.drills.gate`: how often noise passes the gate, and what never does.

Two toy models of two seeds are trained, and the differences of their ELBOs on real sentences
resampled: ten thousand releases of models that are equal, a hundredth worse and a hundredth better.
The function of production decides on each. Then the job itself evaluates broken candidates.
"""

import dataclasses
import logging
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jobs import evaluate
from tests import toys
from tests.broken import broken
from tests.drills.line import Found, run_drill
from tests.drills.watchdog import HEALTHY
from tests.serving import another_version
from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import load_spans, write_span
from textvae.corpus.toy_grammar import sample
from textvae.errors import CorruptError
from textvae.evaluation.cache import cached_elbo_nats
from textvae.progress import no_progress
from textvae.release.gate import Baseline, decide
from textvae.release.paired_test import compare_pairs
from textvae.store.versions import Version, publish
from textvae.training.run import train

log = logging.getLogger(__name__)

LEARNED, VALID = 4000, 300
CANDIDATES = {"equal": 0.0, "worse": -0.01, "better": 0.01}
"""By what share of the mean ELBO each differs from the champion."""
CONFIG = GateConfig()
HOLDOUT, NEWEST = 10_000, 10_000
"""Sentences of a release's two sets, resampled for each."""
EVALUATION = EvaluationConfig(
    sentences=60,
    importance_samples=10,
    prior_draws=20,
    prior_sentences=500,
    prior_components=1,
    path_pairs=2,
)
HEALTHY_FIGURES = {
    "kl_nats": 9.0,
    "informed_share": 0.9,
    "shuffle_nats": 30.0,
    "distinct_share_fitted": 0.98,
}
"""Figures above every floor, so that the comparison decides."""


class Pool(NamedTuple):
    """(sentences,) ELBOs of both models on real sentences that neither has learned from."""

    champion_nats: np.ndarray
    better_nats: np.ndarray
    """Differences of the second model and the first, recentred to a mean of 0."""


def train_version(store: StoreConfig, seed: int) -> Version:
    """Train a version of the toy grammar by this seed."""
    training = dataclasses.replace(HEALTHY.training, language_model_steps=200, seed=seed)
    recipe = HEALTHY._replace(training=training)
    corpus = load_spans(store.spans)
    candidate = train(recipe, corpus, store.runs / str(seed), "", no_progress)
    return publish(store.registry, store.model, "20260101", candidate.files, candidate.facts)


def pool_of(store: StoreConfig, pair: tuple[Version, Version], size: int) -> Pool:
    """Measure both versions on the first sentences of the test side."""
    texts = [row.text for row in load_spans(store.spans).test][:size]
    first, second = (
        np.array(
            cached_elbo_nats(store.registry, version, texts, EVALUATION, ServeConfig(), no_progress)
        )
        for version in pair
    )
    better = second - first
    log.info(
        "%d sentences: ELBO %.2f and %.2f nats, their differences scatter by %.2f nats",
        len(texts),
        first.mean(),
        second.mean(),
        better.std(ddof=1),
    )
    return Pool(first, better - better.mean())


def decide_release(pool: Pool, random: np.random.Generator) -> dict[str, bool]:
    """Return whether candidates of the three kinds are promoted on one resample of both sets; the
    champion is new, or so old that being no worse than it is enough."""
    resamples = [random.integers(len(pool.champion_nats), size=size) for size in (HOLDOUT, NEWEST)]
    promoted = {}
    for name, share in CANDIDATES.items():
        candidate = pool.champion_nats + pool.better_nats + share * abs(pool.champion_nats.mean())
        pairs = [compare_pairs(candidate[rows], pool.champion_nats[rows]) for rows in resamples]
        for age, days in (("", 0.0), ("_by_age", CONFIG.champion_days_max)):
            decision = decide(HEALTHY_FIGURES, Baseline(pairs[0], pairs[1], days), CONFIG)
            promoted[f"{name}_promoted{age}"] = decision.decision == "accepted"
    return promoted


def promoted_shares(pool: Pool, releases: int) -> dict[str, float]:
    """Return the share of so many releases that promote each candidate."""
    random = np.random.default_rng(0)
    decided = [decide_release(pool, random) for _ in range(releases)]
    return {name: sum(one[name] for one in decided) / releases for name in decided[0]}


def count_rejected_broken(store: StoreConfig) -> tuple[int, int]:
    """Count the broken candidates that are rejected with their reason, or refused; and all."""
    candidates, rejected = broken(store.registry), 0
    gate = dataclasses.replace(CONFIG, sentences=300)
    for name, (version, reason, kinds) in candidates.items():
        result = evaluate.main(evaluate.Evaluate(version.name, store, EVALUATION, gate))
        log.info("%s: %s (%s): %s", name, result["outcome"], result["kind"], result["reasons"][0])
        rejected += (
            result["outcome"] == "rejected"
            and result["kind"] in kinds
            and reason in result["reasons"][0]
        )
    torn = another_version(store.registry, config=b"# cut short after it was sealed\n")
    weights = torn.folder / "model.safetensors"
    weights.chmod(0o644)
    with open(weights, "r+b") as stream:
        stream.truncate(weights.stat().st_size - 100)
    try:
        evaluate.main(evaluate.Evaluate(torn.name, store, EVALUATION, gate))
    except CorruptError as error:
        log.info("torn: refused: %s", error)
        rejected += 1
    return rejected, len(candidates) + 1


def drill(quick: bool) -> Found:
    """Decide on releases of two models, and on the broken candidates."""
    releases, size = (1000, 1000) if quick else (10_000, 16_000)
    with tempfile.TemporaryDirectory() as folder:
        registry, spans, runs = (Path(folder) / part for part in ("registry", "spans", "runs"))
        store = StoreConfig(registry, toys.MODEL, spans, runs)
        rows = sample(LEARNED + VALID + size, seed=0)
        valid, test = rows[LEARNED : LEARNED + VALID], rows[LEARNED + VALID :]
        write_span(spans, {"train": rows[:LEARNED], "valid": valid, "test": test}, {}, {})
        pair = train_version(store, 0), train_version(store, 1)
        toys.promoted(registry, pair[0])
        pool = pool_of(store, pair, size)
        rejected, all_broken = count_rejected_broken(store)
    # The shares of a quick run's thousand releases scatter by 0.7 %.
    most = {"equal_promoted": 0.075 if quick else 0.055, "worse_promoted": 0.001}
    most["worse_promoted_by_age"] = 0.001
    least = {"better_promoted": 0.95, "broken_rejected": all_broken}
    figures = {
        "releases": releases,
        "holdout_sentences": HOLDOUT,
        "newest_sentences": NEWEST,
        "pool_sentences": size,
        "elbo_nats": float(pool.champion_nats.mean()),
        "spread_nats": float(pool.better_nats.std(ddof=1)),
        **promoted_shares(pool, releases),
        "broken_rejected": rejected,
    }
    held = all(figures[name] <= most[name] for name in most)
    held = held and all(figures[name] >= least[name] for name in least)
    return Found(figures, {**most, **least}, held)


if __name__ == "__main__":
    run_drill("gate", drill)
