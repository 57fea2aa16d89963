"""`python -m jobs.train`: all ingested text becomes a new version, which does not serve yet."""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.command import run_job
from jobs.progress import shown_progress
from textvae.config import ModelConfig, StoreConfig, TokenizerConfig, TrainingConfig
from textvae.files import hold_lock
from textvae.store.promotions import current
from textvae.store.versions import publish
from textvae.text.spans import load_spans
from textvae.training.ranks import joined
from textvae.training.run import Recipe, run_name, train


@dataclass(frozen=True)
class Train:
    """Trains on all spans and publishes a version; a run that was cut off goes on where it was.

    `torchrun --nproc-per-node 2 -m jobs.train ...` learns it by two processes together, which share
    each batch; the same number of them gives the same version.
    """

    store: StoreConfig = StoreConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()


def main(settings: Train) -> dict[str, Any]:
    """Outcome `trained` and the version's name."""
    store = settings.store
    corpus = load_spans(store.spans)
    champion = current(store.registry, store.model)
    recipe = Recipe(settings.tokenizer, settings.model, settings.training)
    parent = champion.version if champion else ""
    with joined(settings.training.device) as ranks, contextlib.ExitStack() as held:
        run = store.runs / run_name(recipe, corpus, parent)
        if ranks.first:
            held.enter_context(hold_lock(run / "lock", "train"))
        ranks.wait()
        tell = held.enter_context(shown_progress()) if ranks.first else _silent
        candidate = train(recipe, corpus, run, parent, tell)
    if not ranks.first:
        return {"outcome": "helped", "run": str(run)}
    day = datetime.now(UTC).strftime("%Y%m%d")
    version = publish(store.registry, store.model, day, candidate.files, candidate.facts)
    return {"outcome": "trained", "version": version.name, "run": str(run)}


def _silent(*_: object) -> None:
    """The first process alone shows how far all are."""


if __name__ == "__main__":
    run_job("train", Train, main)
