"""Evaluations as attachments of a version: measured once, read from then on."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

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
from textvae.evaluation.held_out_groups import measure_sibling_nats
from textvae.evaluation.holdout import digest, frozen_groups, frozen_sets
from textvae.evaluation.length_limits import (
    groups_within_limits,
    limits_key,
    measuring_config,
    sentences_within_limits,
)
from textvae.evaluation.variations import HeldOutGroup, split_group
from textvae.installation import job_command
from textvae.progress import ProgressCallback
from textvae.settings import to_mapping
from textvae.store.attachments import attach, json_values, list_attachments, read_attachment
from textvae.store.versions import Version, list_versions, open_version
from textvae.text.sentence import Sentence

log = logging.getLogger(__name__)

# Part of an evaluation's name: raised when parts are added, so that none is read without them.
EVALUATION_FORMAT = 3
# Draws of each posterior for the ELBO alone: sentences differ much more than draws.
ELBO_DRAWS = 10
# The references of a group differ more than draws for each.
SIBLING_DRAWS = 2


class EvaluationInputs(NamedTuple):
    """A version with a fitted prior, and the text it is measured on."""

    version: Version
    sentences: list[str]
    """Held-out sentences that figures are made of."""
    learned: Sequence[Sentence]
    """Sentences that the version learned from."""
    test: Sequence[Sentence]
    """The frozen holdout, of which `sentences` are the first."""
    sealed: Sequence[Sentence] = ()
    """The sealed set, which is as frozen and never decides."""
    faults: tuple[str, ...] = ()
    """Why its weights cannot be used, in words; it has no prior then."""
    groups: Sequence[HeldOutGroup] = ()
    """Held-out groups, of sentences that say the same where the version learned from siblings."""


def prepare_inputs(
    store: StoreConfig,
    name: str,
    config: EvaluationConfig,
    serve: ServeConfig,
    gate_sentences: int = 1,
    gate_groups: int = 0,
) -> EvaluationInputs:
    """Open the version of this name (empty: the newest), and fit its prior if it has none and can.

    `gate_sentences`: how many sentences the gate compares; 0 for all. `gate_groups`: how many
    groups, at most.

    Raises NotFoundError where there is no version or no text, DataError where none is held out.
    """
    names = list_versions(store.registry, store.model)
    if not names:
        job = job_command("train")
        raise NotFoundError(f"{store.registry}: no version of {store.model}; {job}")
    version = open_version(store.registry, store.model, name or names[0])
    trained_on = load_spans(store.spans, tuple(version.manifest["spans"]))
    limited = gate_sentences and config.sentences
    sentences_max = max(gate_sentences, config.sentences) if limited else 0
    holdout, sealed = frozen_sets(store.spans, config.sealed_share, sentences_max)
    if not holdout:
        raise DataError(f"{store.spans}: no sentence is on the test side; raise data.test_share")
    faults = weight_faults(version)
    if not faults:
        texts = [row.text for row in trained_on.train]
        ensure_prior(store.registry, version, texts, config, serve)
    sentences = [row.text for row in holdout][: config.sentences or None]
    groups = held_out_groups(store.spans, config, max(config.groups, gate_groups))
    return EvaluationInputs(version, sentences, trained_on.train, holdout, sealed, faults, groups)


def held_out_groups(spans: Path, config: EvaluationConfig, count: int) -> list[HeldOutGroup]:
    """Return frozen groups as sources and references; a smaller number is the beginning."""
    return [
        split_group(
            [row.text for row in rows], np.random.default_rng(int(digest(rows[0].group)[:16], 16))
        )
        for rows in frozen_groups(spans, config.sealed_share, count)
    ]


def weight_faults(version: Version) -> tuple[str, ...]:
    """Return a sentence that names file and tensor where weights are not finite, torn or another
    network's."""
    try:
        load_networks(version)
    except CorruptError as error:
        # A decision says the same wherever the registry lies.
        return (str(error).replace(f"{version.folder}/", ""),)
    return ()


def ensure_prior(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    config: EvaluationConfig,
    serve: ServeConfig,
) -> None:
    """Fit and attach the version's prior from training sentences, unless it has one."""
    if PRIOR_ATTACHMENT in list_attachments(registry, version):
        return
    short = sentences_within_limits(sentences, [version.folder], serve)
    with start_engine(registry, version, measuring_config(serve)) as engine:
        fit_version_prior(registry, version, engine, short, config)


def cached_evaluation(
    registry: Path,
    version: Version,
    sentences: Sequence[str],
    config: EvaluationConfig,
    serve: ServeConfig,
    on_progress: ProgressCallback,
    groups: Sequence[HeldOutGroup] = (),
) -> Evaluation:
    """Return the version's evaluation on these sentences and the first of the groups with these
    settings; attach a new one."""
    groups = groups_within_limits(groups[: config.groups], version.folder, serve)
    key = [EVALUATION_FORMAT, to_mapping(config), list(sentences), *limits_key(serve)]
    key += [groups] if groups else []
    name = f"evaluation-{digest(json.dumps(key))[:8]}"
    attached = read_attachment(registry, version, name)
    if attached:
        return Evaluation(*(json.loads(attached[f"{part}.json"]) for part in Evaluation._fields))
    with start_engine(registry, version, measuring_config(serve)) as engine:
        found = evaluate(version, engine, sentences, config, on_progress, groups)
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
    serve: ServeConfig,
    on_progress: ProgressCallback,
) -> list[float]:
    """Return the ELBO of each sentence in nats, at a part of the cost of `cached_evaluation`;
    attach new ones."""
    draws = min(config.importance_samples, ELBO_DRAWS)
    key = [EVALUATION_FORMAT, draws, config.seed, config.device, list(sentences)]
    name = f"elbo-{digest(json.dumps([*key, *limits_key(serve)]))[:8]}"
    return _cached_nats(
        registry,
        version,
        name,
        "elbo_nats.json",
        lambda: measure_elbo_nats(version, sentences, draws, serve.tokens_max, config, on_progress),
    )


def cached_sibling_nats(
    registry: Path,
    version: Version,
    groups: Sequence[HeldOutGroup],
    config: EvaluationConfig,
    serve: ServeConfig,
    on_progress: ProgressCallback,
) -> list[float]:
    """Return for each group what its references cost by its source, in nats; attach new ones."""
    key = [EVALUATION_FORMAT, SIBLING_DRAWS, config.seed, config.device, groups, *limits_key(serve)]
    name = f"siblings-{digest(json.dumps(key))[:8]}"
    return _cached_nats(
        registry,
        version,
        name,
        "sibling_nats.json",
        lambda: measure_sibling_nats(
            version, groups, SIBLING_DRAWS, serve.tokens_max, config, on_progress
        ),
    )


def _cached_nats(
    registry: Path, version: Version, name: str, file: str, measure: Callable[[], list[float]]
) -> list[float]:
    """Return the nats in a file of an attachment; measure and attach them where there is none."""
    attached = read_attachment(registry, version, name)
    if attached is None:
        attached = {file: files.canonical_json(json_values(measure()))}
        attach(registry, version, name, attached)
    known: list[float | None] = json.loads(attached[file])
    return [math.nan if nats is None else nats for nats in known]
