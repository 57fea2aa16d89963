"""Runs of seconds on the toy grammar, which can be killed after any step."""

import dataclasses
import json
from pathlib import Path

from tests import toys
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.spans import Corpus
from textvae.training.recipe import Recipe
from textvae.training.run import Candidate, train


def tiny(**settings: object) -> Recipe:
    """A recipe of seconds."""
    return Recipe(
        TokenizerConfig(vocab=600, kind="bpe"),
        ModelConfig(embed=16, hidden=24, latent=4, dropout=0.1, batchnorm_scale=0.5),
        dataclasses.replace(
            TrainingConfig(
                steps=24,
                language_model_steps=12,
                batch=64,
                kl_steps=10,
                log_steps=4,
                validation_steps=12,
                checkpoint_s=0.0,
                collapse_stops=False,
            ),
            **settings,  # type: ignore[arg-type]
        ),
    )


def learn(recipe: Recipe, run: Path, stop: tuple[str, int] | None = None) -> Candidate:
    """Train on the toy grammar; `stop` ends the process's part of it after a phase's step."""
    whole = toys.corpus()
    few = whole._replace(train=whole.train[:2000], valid=whole.valid[:300])
    return learn_from(few, recipe, run, stop)


def learn_from(
    corpus: Corpus, recipe: Recipe, run: Path, stop: tuple[str, int] | None = None
) -> Candidate:
    """Train on a corpus, until `stop`."""

    def on_progress(what: str, done: int, steps: int, figures: object) -> None:
        if (what, done) == stop:
            raise KilledError

    return train(recipe, corpus, run, "", on_progress)


class KilledError(Exception):
    """Stands for the end of a process between two steps."""


def lines(run: Path) -> list[dict[str, float | str]]:
    """What metrics.jsonl says."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
