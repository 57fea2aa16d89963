"""A tiny real model on the toy grammar: what the tests of the engine and the service ask."""

import functools
import logging
from pathlib import Path
from typing import Literal

import torch

from textvae.config.data import TokenizerConfig
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.spans import Corpus
from textvae.corpus.toy_grammar import sample
from textvae.engine.start import start_engine
from textvae.evaluation.fit_prior import fit_version_prior
from textvae.model.exact import ExactDecoder
from textvae.model.network import SentenceVae
from textvae.store.promotions import promote
from textvae.store.versions import Version, publish
from textvae.text.sentence import Sentence
from textvae.training.recipe import Recipe
from textvae.training.run import train

MODEL = "toy"
SENTENCES, HELD_OUT = 20_000, 1000
AT = "2026-01-01T00:00:00Z"

log = logging.getLogger(__name__)


@functools.cache
def corpus() -> Corpus:
    """18,000 sentences to learn from and 1,000 on each other side."""
    rows: list[Sentence] = sample(SENTENCES, seed=0)
    valid, test, learned = rows[:HELD_OUT], rows[HELD_OUT : 2 * HELD_OUT], rows[2 * HELD_OUT :]
    return Corpus(learned, valid, test, ("toy",), ("0" * 64,))


def recipe(objective: Literal["vae", "autoencoder"] = "vae", seed: int = 0) -> Recipe:
    """The `small` recipe: a grammar of about 10 nats a sentence at a rate of about 10 nats."""
    return Recipe(
        TokenizerConfig(vocab=600, kind="bpe"),
        ModelConfig(embed=64, hidden=128, latent=16, dropout=0.0),
        TrainingConfig(
            objective=objective,
            steps=1200 if objective == "vae" else 900,
            batch=128 if objective == "vae" else 64,
            language_model_steps=400 if objective == "vae" else 1,
            learning_rate=4e-3,
            word_dropout=0.3,
            kl_steps=300,
            target_kl_nats=9.5,
            precision="fp32",
            validation_steps=400,
            seed=seed,
        ),
    )


def published(registry: Path, run: Path, what: Recipe) -> Version:
    """A trained version with a fitted prior, in the registry."""
    made = train(what, corpus(), run, "", lambda *_: None)
    version = publish(registry, MODEL, "20260101", made.files, made.facts)
    texts = [row.text for row in corpus().train]
    config = EvaluationConfig(prior_sentences=4000, prior_components=8)
    with start_engine(registry, version, ServeConfig()) as engine:
        fit_version_prior(registry, version, engine, texts, config)
    return version


def untrained_decoder(vocab: int, latent: int, seed: int) -> ExactDecoder:
    """First weights, large enough for sentences to differ."""
    torch.manual_seed(seed)
    model = SentenceVae(ModelConfig(embed=12, hidden=20, latent=latent), vocab)
    with torch.inference_mode():
        model.embedding.weight.mul_(6)
        return ExactDecoder(model)


def promoted(registry: Path, version: Version, expected: int = 0) -> None:
    """The version serves from here on."""
    promote(registry, MODEL, version, expected=expected, reason="a test's", actor="tests", at=AT)
