"""What a version writes, judged: samples of its prior, paths, and labels through the latent.

Dearer than an evaluation, since one judge has to learn from the samples; done where
`evaluation.generation_sentences` asks for it.
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
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """`sample_figures` of a version, attached; read where the same was asked before."""
    asked = [to_mapping(config), [row._asdict() for row in test]]
    digest = hashlib.sha256(files.canonical_json(asked)).hexdigest()
    name = f"generation-{digest[:8]}"
    attached = read_attachment(registry, version, name)
    if attached:
        found: dict[str, Any] = json.loads(attached["figures.json"])
        return found
    engine = start_engine(registry, version, ServeConfig())
    try:
        found = json_values(sample_figures(version, engine, train, test, config, on_progress))
    finally:
        engine.close()
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
    """Figures of `config.generation_sentences` samples of the fitted prior (the standard one where
    none is fitted), of paths between test sentences, and of labels where there are two or more."""
    _, language_model = load_networks(version)
    tokenizer = tokenizer_of(version.folder)
    texts = [row.text for row in test]
    judge = ScorerConfig(steps=config.judge_steps, device=config.device)
    return {
        **generation_figures(
            engine,
            language_model,
            tokenizer,
            [row.text for row in train],
            texts,
            config.generation_sentences,
            "fitted" if engine.fitted_prior else "standard",
            judge,
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
    """How well a naive Bayes judge, learned from `train`, labels test sentences, and what share of
    their reconstructions it gives the label that it gave the sentence; none without two labels."""
    if len({row.label for row in train}) < 2:
        return {}
    judge = LabelClassifier([row.text for row in train], [row.label for row in train])
    texts = [row.text for row in test]
    rebuilt = [
        one.text
        for one in decode_all(
            engine.answer, engine.limits, encode_all(engine.answer, engine.limits, texts, seed).mean
        )
    ]
    pairs = zip(judge.predict(texts), judge.predict(rebuilt), strict=True)
    return {
        "label_judge_accuracy": judge.accuracy(texts, [row.label for row in test]),
        "label_kept_share": sum(one == other for one, other in pairs) / len(texts),
    }
