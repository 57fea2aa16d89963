"""Fit the prior of a version and attach it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textvae.config.evaluation import EvaluationConfig
from textvae.engine.engine import Engine
from textvae.engine.load import PRIOR_ATTACHMENT, PRIOR_FILE
from textvae.engine.operations.encode import encode_all
from textvae.latent.prior import FittedPrior, fit_prior, prior_bytes
from textvae.store.attachments import attach
from textvae.store.versions import Version


def fit_version_prior(
    registry: Path,
    version: Version,
    engine: Engine,
    sentences: Sequence[str],
    config: EvaluationConfig,
) -> FittedPrior:
    """Fit a Gaussian mixture to posteriors of training sentences and attach it to the version."""
    chosen = sentences
    if len(sentences) > config.prior_sentences:
        random = np.random.default_rng(config.seed)
        indices = np.sort(random.choice(len(sentences), config.prior_sentences, replace=False))
        chosen = [sentences[index] for index in indices]
    encoded = encode_all(engine.answer, engine.limits, chosen, config.seed)
    prior = fit_prior(encoded.samples, config.prior_components, config.seed)
    attach(registry, version, PRIOR_ATTACHMENT, {PRIOR_FILE: prior_bytes(prior)})
    return prior
