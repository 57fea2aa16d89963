"""The start of an engine from a published version."""

import json
import logging
import time
from pathlib import Path

import numpy as np
import torch

from textvae.config.serve import ServeConfig
from textvae.decode.rows import Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine.batch_invariance import BatchInvariance, check_batch_invariance
from textvae.engine.engine import Engine
from textvae.engine.limits import threads_of
from textvae.engine.load import LoadedVersion, load_version
from textvae.engine.prices import Prices
from textvae.errors import InputError
from textvae.installation import job_command
from textvae.model.exact import BUCKETS
from textvae.store.attachments import read_attachment
from textvae.store.choice import CHAMPION, choose_version
from textvae.store.versions import Version
from textvae.text.tokenizer import EOS, Tokenizer

log = logging.getLogger(__name__)

PROBES, PROBE_TOKENS = 3, 8
"""Batches that are timed at the start, and the tokens of their sentences."""
INT8_ATTACHMENT, INT8_FILE = "precision-int8", "check.json"


def load_engine(registry: Path, model: str, name: str | None, config: ServeConfig) -> Engine:
    """Verify and load a version (None: the champion), check its arithmetic, start its engine.

    Raise NotFoundError or CorruptError where there is no usable version.
    """
    version = choose_version(registry, model, name or CHAMPION)
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
    return Engine(version, checked.loaded, checked.words, config, measure_prices(checked.loaded))


def measure_prices(loaded: LoadedVersion) -> Prices:
    """Return what reading and writing a token costs in full batches, of made-up sentences."""
    size, prices = loaded.buckets[-1], Prices()
    slots = Slots(loaded.decoder, SpecialIds(EOS, Tokenizer.forbidden), loaded.buckets)
    latent = np.zeros(loaded.latent, np.float32)
    slots.admit([Row(None, number, latent, PROBE_TOKENS) for number in range(size)])
    sentences = [[EOS + 1] * PROBE_TOKENS] * size
    with torch.inference_mode():
        for _ in range(PROBES):
            began, running = time.perf_counter(), slots.running
            slots.step()
            stepped = time.perf_counter()
            loaded.read("encoder", sentences)
            prices.learn_read(time.perf_counter() - stepped, size * (PROBE_TOKENS + 1))
            if running:
                prices.learn_write(stepped - began, running)
    return prices


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
