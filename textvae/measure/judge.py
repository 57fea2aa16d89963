"""Evaluations and decisions as attachments: judged once, read ever after."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.config import EvaluationConfig, GateConfig, ServeConfig
from textvae.engine.engine import start_engine
from textvae.engine.loaded import PRIOR_ATTACHMENT
from textvae.errors import DataError
from textvae.measure.evaluation import Evaluation, Tell, evaluate
from textvae.measure.gate import Decision, decide, gate_attachment
from textvae.measure.prior import fit_version_prior
from textvae.settings import to_mapping
from textvae.store.attachments import attach, list_attachments, read_attachment
from textvae.store.promotions import current
from textvae.store.versions import Version, open_version
from textvae.text.corpus import Sentence
from textvae.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)


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
        fit_version_prior(registry, version, engine, readable(sentences, [version]), config)
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
        {file: files.canonical_json(plain(value)) for file, value in contents.items()},
    )
    return found


class Judgement(NamedTuple):
    """What was found of a version, and against whom."""

    evaluation: Evaluation
    decision: Decision
    promotion: int
    """Number of the promotion whose champion it was judged against; 0 where there was none."""


def judged(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    evaluation: EvaluationConfig,
    gate: GateConfig,
    tell: Tell,
) -> Judgement:
    """The version's evaluation and the gate's decision against the champion of this moment.

    The decision is attached under the champion's promotion number: once another champion serves,
    it no longer counts.
    """
    promotion = current(registry, version.model)
    champion = None
    if promotion and promotion.version != version.name:
        champion = open_version(registry, version.model, promotion.version)
    sentences = readable(sentences, [version, champion] if champion else [version])
    found = evaluated(registry, version, sentences, evaluation, tell)
    rival = None
    if champion:
        rival = evaluated(registry, champion, sentences, evaluation, tell).elbo_nats
    decision = decide(found.figures, found.elbo_nats, rival, gate)
    number = promotion.number if promotion else 0
    record = {**decision._asdict(), "gate": to_mapping(gate), "sentences": len(sentences)}
    content = files.canonical_json(plain(record))
    name = gate_attachment(number, hashlib.sha256(content).hexdigest())
    attach(registry, version, name, {"decision.json": content})
    return Judgement(found, decision, number)


def readable(sentences: Sequence[str], versions: Sequence[Version]) -> list[str]:
    """The sentences that every version's engine takes; the others are counted in the log.

    Training cuts a long sentence, a service refuses it; a figure must be of whole sentences.
    """
    limits = ServeConfig()
    kept = [sentence for sentence in sentences if len(sentence) <= limits.characters_max]
    for version in versions:
        tokenizer = Tokenizer((version.folder / "tokenizer.model").read_bytes())
        encoded = tokenizer.encode(kept)
        kept = [
            sentence
            for sentence, ids in zip(kept, encoded, strict=True)
            if len(ids) <= limits.tokens_max
        ]
    if len(kept) < len(sentences):
        log.warning("%d sentences are too long to be measured", len(sentences) - len(kept))
    if not kept:
        raise DataError(f"held-out text: none is at most {limits.tokens_max} tokens; ingest more")
    return kept


def plain(value: Any) -> Any:
    """The value with None in place of numbers that JSON lacks."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
