"""`python -m jobs.train`: all ingested text becomes a new version, which does not serve yet."""

import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from jobs.command import run_job, utc_now
from jobs.progress import show_progress
from textvae.config.data import StoreConfig, TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.spans import Corpus, load_spans
from textvae.errors import CorruptError, NotFoundError
from textvae.locks import hold_lock
from textvae.store.promotions import champion, current_promotion
from textvae.store.versions import publish
from textvae.training.ranks import join_ranks
from textvae.training.recipe import Recipe
from textvae.training.run import run_name, train
from textvae.training.start import Ancestor, Start, choose_start

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Train:
    """Trains on all spans and publishes a version; a run that was cut off goes on where it was.

    It begins from the champion, where one serves and fits, and learns what is new beside a replay
    of the old; `--training.start fresh` begins anew, with a new vocabulary.
    `torchrun --nproc-per-node 2 -m jobs.train ...` learns it by two processes together, which share
    each batch; the same number of them gives the same version.
    """

    store: StoreConfig = StoreConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()


def main(settings: Train) -> dict[str, Any]:
    """Outcome `trained`, the version's name, and what it began from."""
    store = settings.store
    corpus = load_spans(store.spans)
    recipe = Recipe(settings.tokenizer, settings.model, settings.training)
    promotion = current_promotion(store.registry, store.model)
    parent = promotion.version if promotion else ""
    start = _start(store, recipe, corpus, bool(parent))
    log.info("train: begins %s", start.why)
    with join_ranks(settings.training.device) as ranks, contextlib.ExitStack() as held:
        run = store.runs / run_name(recipe, corpus, parent, start)
        if ranks.first:
            held.enter_context(hold_lock(run / "lock", "train"))
        ranks.wait()
        on_progress = held.enter_context(show_progress()) if ranks.first else _silent
        candidate = train(recipe, corpus, run, parent, on_progress, start)
    if not ranks.first:
        return {"outcome": "helped", "run": str(run)}
    day = utc_now()[:10].replace("-", "")
    version = publish(store.registry, store.model, day, candidate.files, candidate.facts)
    said = {"start": start.kind, "why": start.why, "lineage": candidate.facts["lineage"]}
    return {"outcome": "trained", "version": version.name, "run": str(run), **said}


def _start(store: StoreConfig, recipe: Recipe, corpus: Corpus, served: bool) -> Start:
    """What the training begins from; a champion that cannot be read ends no night."""
    ancestor, obstacle = None, ""
    if served:
        try:
            version = champion(store.registry, store.model)
            ancestor = Ancestor(version.name, version.folder, version.manifest)
        except (CorruptError, NotFoundError) as error:
            obstacle = f"the champion cannot be read ({error})"
    return choose_start(recipe, corpus, ancestor, obstacle=obstacle)


def _silent(*_: object) -> None:
    """The first process alone shows how far all are."""


if __name__ == "__main__":
    run_job("train", Train, main)
