"""A tiny real model that has learned from siblings: what the tests of paraphrases ask."""

import functools
from pathlib import Path

import numpy as np

from tests.tiny_runs import learn_from
from tests.toys import MODEL
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.spans import Corpus
from textvae.corpus.toy_grammar import LOCATIONS, OBJECTS, SUBJECTS, all_factors, sentence
from textvae.store.versions import Version, publish
from textvae.text.sentence import Sentence
from textvae.training.recipe import Recipe

WORDS = 4
"""Of each of the grammar's subjects, objects and locations: 768 sentences, learned in seconds."""
HELD_OUT = 60


@functools.cache
def grouped() -> Corpus:
    """Groups of two: a sentence of the toy grammar as it is, and turned about after a comma."""
    known = {word for words in (SUBJECTS, OBJECTS, LOCATIONS) for word in list(words)[:WORDS]}
    few = [one for one in all_factors() if {one.subject, one.object, one.location} <= known]
    rows = []
    for number in np.random.default_rng(3).permutation(len(few)):
        text = sentence(few[number])
        rows += [Sentence(form, group=str(number)) for form in (text, turned(text))]
    valid, test = rows[: 2 * HELD_OUT], rows[2 * HELD_OUT : 4 * HELD_OUT]
    return Corpus(rows[4 * HELD_OUT :], valid, test, ("toy",), ("0" * 64,))


def turned(text: str) -> str:
    """The other form of a sentence: its first word comes last, or first again."""
    if text.endswith(" , The"):
        return f"The {text.removesuffix(' , The')}"
    return f"{text.removeprefix('The ')} , The"


def recipe() -> Recipe:
    """A recipe of ten seconds.

    Were half of the sentences read from a sibling, both first tokens together would say nothing of
    the form, and it would be learned late.
    """
    return Recipe(
        TokenizerConfig(vocab=600, kind="bpe"),
        ModelConfig(embed=32, hidden=64, latent=16, dropout=0.0, batchnorm_scale=0.0),
        TrainingConfig(
            sibling_share=0.35,
            steps=700,
            batch=64,
            language_model_steps=100,
            learning_rate=1.5e-2,
            word_dropout=0.2,
            kl_steps=200,
            target_kl_nats=14.0,
            precision="fp32",
            checkpoint_s=60.0,
            validation_steps=350,
            log_steps=100,
            collapse_stops=False,
        ),
    )


def published(registry: Path, run: Path) -> Version:
    """A version that has learned from siblings, in the registry."""
    made = learn_from(grouped(), recipe(), run)
    return publish(registry, MODEL, "20260101", made.files, made.facts)
