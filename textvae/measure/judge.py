"""Evaluations and decisions as attachments: judged once, read ever after."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.config import EvaluationConfig, GateConfig, ServeConfig, StoreConfig
from textvae.engine.loaded import PRIOR_ATTACHMENT
from textvae.engine.start import start_engine
from textvae.errors import DataError, NotFoundError
from textvae.measure.doctor import Diagnosis, diagnose
from textvae.measure.evaluation import Evaluation, Tell, evaluate
from textvae.measure.gate import Decision, decide, gate_attachment
from textvae.measure.prior import fit_version_prior
from textvae.settings import to_mapping
from textvae.store.attachments import attach, list_attachments, read_attachment
from textvae.store.promotions import current
from textvae.store.versions import Version, list_versions, open_version
from textvae.text.corpus import Sentence
from textvae.text.spans import load_spans
from textvae.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

# Part of an evaluation's name: raised when figures are added, so that none is read without them.
EVALUATION_FORMAT = 2


class Patient(NamedTuple):
    """A version with a fitted prior, and the text it is measured on."""

    version: Version
    sentences: list[str]
    """Held out, in the order of `held_out`."""
    learned: Sequence[Sentence]
    """What the version learned from."""
    test: Sequence[Sentence]
    """The whole test side, of which `sentences` are."""


def admitted(store: StoreConfig, name: str, config: EvaluationConfig) -> Patient:
    """The version of this name (empty: the newest), its prior fitted if it was not yet.

    Raises NotFoundError where there is no version or no text, DataError where none is held out.
    """
    names = list_versions(store.registry, store.model)
    if not names:
        raise NotFoundError(f"{store.registry}: no version of {store.model}; python -m jobs.train")
    version = open_version(store.registry, store.model, name or names[0])
    trained_on = load_spans(store.spans, tuple(version.manifest["spans"]))
    test = load_spans(store.spans).test
    if not test:
        raise DataError(f"{store.spans}: no sentence is on the test side; raise data.test_share")
    ensure_prior(store.registry, version, [row.text for row in trained_on.train], config)
    return Patient(version, held_out(test, config.sentences), trained_on.train, test)


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
    asked = json.dumps([EVALUATION_FORMAT, to_mapping(config), list(sentences)])
    name = f"evaluation-{_digest(asked)[:8]}"
    attached = read_attachment(registry, version, name)
    if attached:
        return Evaluation(*(json.loads(attached[f"{part}.json"]) for part in Evaluation._fields))
    engine = start_engine(registry, version, ServeConfig())
    try:
        found = evaluate(version, engine, sentences, config, tell)
    finally:
        engine.close()
    parts = {f"{part}.json": plain(value) for part, value in found._asdict().items()}
    attach(
        registry,
        version,
        name,
        {file: files.canonical_json(value) for file, value in parts.items()},
    )
    return found


class Judgement(NamedTuple):
    """What was found of a version, and against whom."""

    evaluation: Evaluation
    decision: Decision
    promotion: int
    """Number of the promotion whose champion it was judged against; 0 where there was none."""
    diagnosis: Diagnosis


def judged(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    evaluation: EvaluationConfig,
    gate: GateConfig,
    tell: Tell,
) -> Judgement:
    """The version's evaluation, the doctor's diagnosis, and the gate's decision against the
    champion of this moment. A diagnosis that is fatal rejects, whatever the gate's floors.

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
    diagnosis = diagnose(found.figures)
    faults = diagnosis.findings if diagnosis.fatal else []
    decision = decide(found.figures, found.elbo_nats, rival, gate, faults)
    number = promotion.number if promotion else 0
    record = {
        **decision._asdict(),
        "verdict": diagnosis.verdict,
        "gate": to_mapping(gate),
        "sentences": len(sentences),
    }
    content = files.canonical_json(plain(record))
    name = gate_attachment(number, hashlib.sha256(content).hexdigest())
    attach(registry, version, name, {"decision.json": content})
    return Judgement(found, decision, number, diagnosis)


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
