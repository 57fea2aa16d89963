"""The start of an engine from a published version."""

import json
import logging
from pathlib import Path

import torch

from textvae.config.serve import ServeConfig
from textvae.engine.batch_invariance import BatchInvariance, check_batch_invariance
from textvae.engine.engine import Engine, threads_of
from textvae.engine.load import LoadedVersion, load_version
from textvae.errors import InputError
from textvae.installation import job_command
from textvae.model.exact import BUCKETS
from textvae.store.attachments import read_attachment
from textvae.store.promotions import champion
from textvae.store.versions import Version, open_version

log = logging.getLogger(__name__)

INT8_ATTACHMENT, INT8_FILE = "precision-int8", "check.json"


def load_engine(registry: Path, model: str, name: str | None, config: ServeConfig) -> Engine:
    """Verify and load a version (None: the champion), check its arithmetic, start its engine.

    Raise NotFoundError or CorruptError where there is no usable version.
    """
    version = open_version(registry, model, name) if name else champion(registry, model)
    return start_engine(registry, version, config)


def start_engine(registry: Path, version: Version, config: ServeConfig) -> Engine:
    """Start the engine of a verified version.

    Raise CorruptError for unusable files, InputError for impossible settings.
    """
    if config.slots not in BUCKETS:
        raise InputError(
            "serve.slots", f"must be one of {', '.join(map(str, BUCKETS))}, got {config.slots}"
        )
    loaded = load_version(registry, version)
    buckets = tuple(size for size in BUCKETS if size <= config.slots)
    loaded = loaded._replace(buckets=buckets)
    # The number of threads decides how torch rounds products: the check needs the engine's.
    torch.set_num_threads(threads_of(config))
    checked = _check_in_precision(registry, version, loaded, config)
    return Engine(version, checked.loaded, checked.words, config)


def _check_in_precision(
    registry: Path, version: Version, loaded: LoadedVersion, config: ServeConfig
) -> BatchInvariance:
    """Check a version in the configured precision; without int8 in fp32, which the log reports."""
    if config.precision == "fp32":
        return check_batch_invariance(loaded)
    attached = read_attachment(registry, version, INT8_ATTACHMENT)
    is_fit = attached is not None and json.loads(attached[INT8_FILE])["held"]
    checked = check_batch_invariance(loaded, int8=is_fit)
    if checked.precision == "fp32":
        if attached is None:
            why = f"it was not checked; {job_command('evaluate')} does that"
        else:
            why = "this machine cannot compute it" if is_fit else f"{INT8_ATTACHMENT} was not held"
        log.warning("%s is served in fp32, not in int8: %s", version.name, why)
        checked = checked._replace(words=f"{checked.words}; not int8: {why}")
    return checked
