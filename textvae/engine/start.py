"""From a published version to an engine that answers."""

import json
import logging
from pathlib import Path

import torch

from textvae.config.serve import ServeConfig
from textvae.engine.batch_invariance import BatchInvariance, check_batch_invariance
from textvae.engine.engine import Engine, threads_of
from textvae.engine.load import LoadedVersion, load_version
from textvae.errors import InputError
from textvae.model.exact import BUCKETS
from textvae.store.attachments import read_attachment
from textvae.store.promotions import champion
from textvae.store.versions import Version, open_version

log = logging.getLogger(__name__)

INT8_ATTACHMENT, INT8_FILE = "precision-int8", "check.json"


def load_engine(registry: Path, model: str, name: str | None, config: ServeConfig) -> Engine:
    """Verify, load and prove a version (None: the champion), and start its engine.

    Raises NotFoundError, CorruptError.
    """
    version = open_version(registry, model, name) if name else champion(registry, model)
    return start_engine(registry, version, config)


def start_engine(registry: Path, version: Version, config: ServeConfig) -> Engine:
    """The engine of a verified version. Raises CorruptError, InputError for impossible settings."""
    if config.slots not in BUCKETS:
        raise InputError(
            "serve.slots", f"must be one of {', '.join(map(str, BUCKETS))}, got {config.slots}"
        )
    loaded = load_version(registry, version)
    buckets = tuple(size for size in BUCKETS if size <= config.slots)
    loaded = loaded._replace(buckets=buckets)
    # The number of threads decides how torch rounds products: the proof needs that of the engine.
    torch.set_num_threads(threads_of(config))
    proven = _load_in_precision(registry, version, loaded, config)
    return Engine(version, proven.loaded, proven.words, config)


def _load_in_precision(
    registry: Path, version: Version, loaded: LoadedVersion, config: ServeConfig
) -> BatchInvariance:
    """The version in the precision that was asked for; in fp32, and said so, if it may not be."""
    if config.precision == "fp32":
        return check_batch_invariance(loaded)
    attached = read_attachment(registry, version, INT8_ATTACHMENT)
    held = attached is not None and json.loads(attached[INT8_FILE])["held"]
    proven = check_batch_invariance(loaded, int8=held)
    if proven.precision == "fp32":
        if attached is None:
            why = "it was not checked; python -m jobs.evaluate does that"
        else:
            why = "this machine cannot compute it" if held else f"{INT8_ATTACHMENT} was not held"
        log.warning("%s is served in fp32, not in int8: %s", version.name, why)
        proven = proven._replace(words=f"{proven.words}; not int8: {why}")
    return proven
