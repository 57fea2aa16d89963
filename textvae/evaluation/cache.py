"""Evaluations as attachments: measured once, read ever after."""

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from textvae import files
from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import load_spans
from textvae.engine.load import PRIOR_ATTACHMENT, load_networks
from textvae.engine.start import start_engine
from textvae.errors import CorruptError, DataError, NotFoundError
from textvae.evaluation.evaluate import Evaluation, evaluate, measure_elbo_nats
from textvae.evaluation.fit_prior import fit_version_prior
from textvae.evaluation.holdout import digest, frozen_sets
from textvae.evaluation.length_limits import sentences_within_limits
from textvae.progress import ProgressCallback
from textvae.settings import to_mapping
from textvae.store.attachments import attach, json_values, list_attachments, read_attachment
from textvae.store.versions import Version, list_versions, open_version
from textvae.text.sentence import Sentence

log = logging.getLogger(__name__)

# Part of an evaluation's name: raised when parts are added, so that none is read without them.
EVALUATION_FORMAT = 3
# Of each posterior, where the ELBO alone is asked for: sentences differ much more than draws.
ELBO_DRAWS = 10


class EvaluationInputs(NamedTuple):
    """A version with a fitted prior, and the text it is measured on."""

    version: Version
    sentences: list[str]
    """Held out: what figures are made of."""
    learned: Sequence[Sentence]
    """What the version learned from."""
    test: Sequence[Sentence]
    """The frozen holdout, of which `sentences` are the first."""
    sealed: Sequence[Sentence] = ()
    """As frozen, and never decided by."""
    faults: tuple[str, ...] = ()
    """Why its weights cannot be used, in words; it has no prior then."""


def prepare_inputs(
    store: StoreConfig, name: str, config: EvaluationConfig, compared: int = 1
) -> EvaluationInputs:
    """The version of this name (empty: the newest), its prior fitted if it was not yet and can be.

    `compared`: how many sentences the gate asks for; 0 for all.

    Raises NotFoundError where there is no version or no text, DataError where none is held out.
    """
    names = list_versions(store.registry, store.model)
    if not names:
        raise NotFoundError(f"{store.registry}: no version of {store.model}; python -m jobs.train")
    version = open_version(store.registry, store.model, name or names[0])
    trained_on = load_spans(store.spans, tuple(version.manifest["spans"]))
    most = max(compared, config.sentences) if compared and config.sentences else 0
    holdout, sealed = frozen_sets(store.spans, config.sealed_share, most)
    if not holdout:
        raise DataError(f"{store.spans}: no sentence is on the test side; raise data.test_share")
    faults = weight_faults(version)
    if not faults:
        ensure_prior(store.registry, version, [row.text for row in trained_on.train], config)
    sentences = [row.text for row in holdout][: config.sentences or None]
    return EvaluationInputs(version, sentences, trained_on.train, holdout, sealed, faults)


def weight_faults(version: Version) -> tuple[str, ...]:
    """A sentence that names file and tensor where weights are not finite, torn or not its own."""
    try:
        load_networks(version)
    except CorruptError as error:
        # A decision says the same wherever the registry lies.
        return (str(error).replace(f"{version.folder}/", ""),)
    return ()


def ensure_prior(
    registry: Path, version: Version, sentences: Sequence[str], config: EvaluationConfig
) -> None:
    """Fit and attach the version's prior from training sentences, unless it has one."""
    if PRIOR_ATTACHMENT in list_attachments(registry, version):
        return
    engine = start_engine(registry, version, ServeConfig())
    try:
        fit_version_prior(
            registry, version, engine, sentences_within_limits(sentences, [version.folder]), config
        )
    finally:
        engine.close()


def cached_evaluation(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> Evaluation:
    """The version's evaluation on these sentences with these settings; attached if it is new."""
    asked = json.dumps([EVALUATION_FORMAT, to_mapping(config), list(sentences)])
    name = f"evaluation-{digest(asked)[:8]}"
    attached = read_attachment(registry, version, name)
    if attached:
        return Evaluation(*(json.loads(attached[f"{part}.json"]) for part in Evaluation._fields))
    engine = start_engine(registry, version, ServeConfig())
    try:
        found = evaluate(version, engine, sentences, config, on_progress)
    finally:
        engine.close()
    parts = {f"{part}.json": json_values(value) for part, value in found._asdict().items()}
    attach(
        registry,
        version,
        name,
        {file: files.canonical_json(value) for file, value in parts.items()},
    )
    return found


def cached_elbo_nats(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> list[float]:
    """The ELBO of each of these sentences alone, attached if it is new: a part of the cost of
    `cached_evaluation`."""
    draws = min(config.importance_samples, ELBO_DRAWS)
    asked = json.dumps([EVALUATION_FORMAT, draws, config.seed, config.device, list(sentences)])
    name = f"elbo-{digest(asked)[:8]}"
    attached = read_attachment(registry, version, name)
    if attached is None:
        found = measure_elbo_nats(version, sentences, draws, config, on_progress)
        attached = {"elbo_nats.json": files.canonical_json(json_values(found))}
        attach(registry, version, name, attached)
    known: list[float | None] = json.loads(attached["elbo_nats.json"])
    return [math.nan if nats is None else nats for nats in known]
