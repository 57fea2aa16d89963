"""From a published version to an engine that answers."""

from pathlib import Path

import torch

from textvae.config import ServeConfig
from textvae.engine.engine import Engine, threads_of
from textvae.engine.loaded import load_version
from textvae.engine.proof import prove
from textvae.errors import InputError
from textvae.model.exact import BUCKETS
from textvae.store.promotions import champion
from textvae.store.versions import Version, open_version


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
    # The number of threads decides how products are rounded, so the proof needs that of the engine.
    torch.set_num_threads(threads_of(config))
    return Engine(version, prove(loaded), config)
