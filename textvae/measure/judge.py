"""Evaluations and decisions as attachments: judged once, read ever after."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textvae import files
from textvae.config import EvaluationConfig, GateConfig, ServeConfig
from textvae.engine.engine import start_engine
from textvae.engine.loaded import PRIOR_ATTACHMENT
from textvae.measure.evaluation import Evaluation, Tell, evaluate
from textvae.measure.gate import Decision, decide, gate_attachment
from textvae.measure.prior import fit_version_prior
from textvae.settings import to_mapping
from textvae.store.attachments import attach, list_attachments, read_attachment
from textvae.store.promotions import current
from textvae.store.versions import Version, open_version
from textvae.text.corpus import Sentence


def held_out(sentences: Sequence[Sentence], count: int) -> list[str]:
    """The first `count` sentences by hash (0: all): mostly the same ones, whatever is added."""
    texts = sorted((row.text for row in sentences), key=_digest)
    return texts[:count] if count else texts


def ensure_prior(
    registry: Path, version: Version, sentences: Sequence[str], config: EvaluationConfig
) -> None:
    """Fit and attach the version's prior from training sentences, unless it has one."""
    if PRIOR_ATTACHMENT in list_attachments(registry, version):
        return
    engine = start_engine(registry, version, ServeConfig())
    try:
        fit_version_prior(registry, version, engine, sentences, config)
    finally:
        engine.close()


def evaluated(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    config: EvaluationConfig,
    tell: Tell,
) -> Evaluation:
    """The version's evaluation on these sentences with these settings; attached if it is new."""
    name = f"evaluation-{_digest(json.dumps([to_mapping(config), list(sentences)]))[:8]}"
    attached = read_attachment(registry, version, name)
    if attached:
        figures = json.loads(attached["figures.json"])
        return Evaluation(figures, json.loads(attached["elbo_nats.json"]))
    engine = start_engine(registry, version, ServeConfig())
    try:
        found = evaluate(version, engine, sentences, config, tell)
    finally:
        engine.close()
    contents: dict[str, Any] = {"figures.json": found.figures, "elbo_nats.json": found.elbo_nats}
    attach(
        registry,
        version,
        name,
        {file: files.canonical_json(value) for file, value in contents.items()},
    )
    return found


def judged(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    evaluation: EvaluationConfig,
    gate: GateConfig,
    tell: Tell,
) -> tuple[Evaluation, Decision]:
    """The version's evaluation and the gate's decision against the champion of this moment.

    The decision is attached under the champion's promotion number: once another champion serves,
    it no longer counts.
    """
    found = evaluated(registry, version, sentences, evaluation, tell)
    promotion = current(registry, version.model)
    rival = None
    if promotion and promotion.version != version.name:
        champion = open_version(registry, version.model, promotion.version)
        rival = evaluated(registry, champion, sentences, evaluation, tell).elbo_nats
    decision = decide(found.figures, found.elbo_nats, rival, gate)
    name = gate_attachment(promotion.number if promotion else 0)
    if name not in list_attachments(registry, version):
        record = {**decision._asdict(), "gate": to_mapping(gate)}
        attach(registry, version, name, {"decision.json": files.canonical_json(record)})
    return found, decision


def _digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
