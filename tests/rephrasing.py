"""A tiny real model that has learned from siblings: what the tests of paraphrases ask."""

import functools
from pathlib import Path

from tests.tiny_runs import learn_from
from tests.toys import MODEL
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.spans import Corpus
from textvae.corpus.toy_grammar import sample
from textvae.store.versions import Version, publish
from textvae.text.sentence import Sentence
from textvae.training.recipe import Recipe

GROUPS, HELD_OUT = 1500, 300


@functools.cache
def grouped() -> Corpus:
    """Each sentence of the toy grammar twice: as it is, and turned about after a comma."""
    rows = []
    for number, row in enumerate(sample(GROUPS, seed=3)):
        rows += [Sentence(text, group=str(number)) for text in (row.text, turned(row.text))]
    valid, test = rows[:HELD_OUT], rows[HELD_OUT : 2 * HELD_OUT]
    return Corpus(rows[2 * HELD_OUT :], valid, test, ("toy",), ("0" * 64,))


def turned(text: str) -> str:
    """The other form of a sentence: its first word comes last."""
    first, *rest = text.split()
    return f"{' '.join(rest)} , {first}"


def recipe() -> Recipe:
    """A recipe of seconds that learns to rebuild and to rephrase."""
    return Recipe(
        TokenizerConfig(vocab=600, kind="bpe"),
        ModelConfig(embed=32, hidden=64, latent=16, dropout=0.0, batchnorm_scale=0.0),
        TrainingConfig(
            sibling_share=0.5,
            steps=500,
            batch=64,
            language_model_steps=150,
            learning_rate=1e-2,
            word_dropout=0.5,
            kl_steps=100,
            target_kl_nats=15.0,
            precision="fp32",
            checkpoint_s=60.0,
            validation_steps=250,
            log_steps=100,
            collapse_stops=False,
        ),
    )


def published(registry: Path, run: Path) -> Version:
    """A version that has learned from siblings, in the registry."""
    made = learn_from(grouped(), recipe(), run)
    return publish(registry, MODEL, "20260101", made.files, made.facts)
