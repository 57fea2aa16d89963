"""Figures of what a version generates: samples of its prior, paths, and labels through the latent.

They cost more than an evaluation, since scorers have to learn from the samples, and are computed
where `evaluation.generation_sentences` is not 0.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textvae import files
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.load import load_networks
from textvae.engine.operations.decode import decode_all
from textvae.engine.operations.encode import encode_all
from textvae.engine.start import start_engine
from textvae.evaluation.generation import generation_figures
from textvae.evaluation.interpolation import homotopy_figures
from textvae.evaluation.length_limits import limits_key, measuring_config
from textvae.evaluation.scorers import LabelClassifier, ScorerConfig
from textvae.progress import ProgressCallback
from textvae.settings import to_mapping
from textvae.store.attachments import attach, json_values, read_attachment
from textvae.store.versions import Version
from textvae.text.sentence import Sentence
from textvae.version_files import tokenizer_of


def cached_generation_figures(
    registry: Path,
    version: Version,
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    config: EvaluationConfig,
    serve: ServeConfig,
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """Return `sample_figures` of a version; attach new ones and read those that were attached."""
    key = [to_mapping(config), [row._asdict() for row in test], *limits_key(serve)]
    digest = hashlib.sha256(files.canonical_json(key)).hexdigest()
    name = f"generation-{digest[:8]}"
    attached = read_attachment(registry, version, name)
    if attached:
        found: dict[str, Any] = json.loads(attached["figures.json"])
        return found
    with start_engine(registry, version, measuring_config(serve)) as engine:
        found = json_values(sample_figures(version, engine, train, test, config, on_progress))
    attach(registry, version, name, {"figures.json": files.canonical_json(found)})
    return found


def sample_figures(
    version: Version,
    engine: Engine,
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """Return figures of `config.generation_sentences` samples of the fitted prior (the standard one
    where none is fitted), of paths between test sentences, and of labels where there are two."""
    _, language_model = load_networks(version)
    tokenizer = tokenizer_of(version.folder)
    texts = [row.text for row in test]
    scorer = ScorerConfig(steps=config.judge_steps, device=config.device)
    return {
        **generation_figures(
            engine,
            language_model,
            tokenizer,
            [row.text for row in train],
            texts,
            config.generation_sentences,
            "fitted" if engine.fitted_prior else "standard",
            scorer,
            config.seed,
            on_progress,
        ),
        **homotopy_figures(
            engine, language_model, tokenizer, texts, config.path_pairs, config.seed
        ),
        **label_figures(engine, train, test, config.seed),
    }


def label_figures(
    engine: Engine, train: Sequence[Sentence], test: Sequence[Sentence], seed: int
) -> dict[str, float]:
    """Return how well a naive Bayes classifier that learned from `train` labels test sentences, and
    for what share of them it labels the reconstruction alike; nothing without two labels."""
    if len({row.label for row in train}) < 2:
        return {}
    classifier = LabelClassifier([row.text for row in train], [row.label for row in train])
    texts = [row.text for row in test]
    means = encode_all(engine.answer, engine.limits, texts, seed).mean
    rebuilt = [decoded.text for decoded in decode_all(engine.answer, engine.limits, means)]
    pairs = zip(classifier.predict(texts), classifier.predict(rebuilt), strict=True)
    return {
        "label_judge_accuracy": classifier.accuracy(texts, [row.label for row in test]),
        "label_kept_share": sum(one == other for one, other in pairs) / len(texts),
    }
