"""`python -m jobs.train`: all ingested text becomes a new version, which does not serve yet."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textvae.config.data import StoreConfig, TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.spans import Corpus, load_spans
from textvae.errors import CorruptError, NotFoundError
from textvae.locks import hold_lock
from textvae.progress import ProgressCallback, no_progress
from textvae.store.promotions import champion, current_promotion
from textvae.store.versions import publish
from textvae.training.recipe import Recipe

from .command import run_job, utc_now
from .progress import show_progress

if TYPE_CHECKING:
    from textvae.training.start import Start

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Train:
    """Trains on all spans and publishes a version; a run that was cut off resumes.

    It begins from the champion, where one serves and fits, and learns what is new next to a replay
    of the old; `--training.start fresh` begins anew, with a new vocabulary.
    `torchrun --nproc-per-node 2 -m jobs.train ...` trains with two processes that share each batch;
    the same number of them gives the same version.
    """

    store: StoreConfig = StoreConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()


def main(
    settings: Train, watch_run: Callable[[Path], ProgressCallback] | None = None
) -> dict[str, Any]:
    """Return outcome `trained`, the version's name, what it began from, and how many epochs it saw;
    where it should learn from siblings, how many sentences have one; and what it warns of: too many
    epochs, or no siblings.

    `watch_run` is given the folder of the run and returns a callback for its progress.
    """
    from textvae.training.ranks import join_ranks
    from textvae.training.run import run_name, train

    store = settings.store
    corpus = load_spans(store.spans)
    recipe = Recipe(settings.tokenizer, settings.model, settings.training)
    promotion = current_promotion(store.registry, store.model)
    parent = promotion.version if promotion else ""
    start = _start(store, recipe, corpus, bool(parent))
    log.info("train: begins %s", start.why)
    with join_ranks(settings.training.device) as ranks, contextlib.ExitStack() as stack:
        run = store.runs / run_name(recipe, corpus, parent, start)
        if ranks.first:
            stack.enter_context(hold_lock(run / "lock", "train"))
        ranks.wait()
        on_progress = no_progress
        if ranks.first:
            # The first process alone shows how far all are.
            on_progress = stack.enter_context(show_progress())
            on_progress = _both(on_progress, watch_run(run)) if watch_run else on_progress
        candidate = train(recipe, corpus, run, parent, on_progress, start)
    if not ranks.first:
        return {"outcome": "helped", "run": str(run)}
    day = utc_now()[:10].replace("-", "")
    version = publish(store.registry, store.model, day, candidate.files, candidate.facts)
    copied = {name: candidate.facts[name] for name in ("lineage", "sentence_tokens")}
    began = {"start": start.kind, "why": start.why, **copied}
    learned = _learned(settings.training, candidate.facts)
    return {"outcome": "trained", "version": version.name, "run": str(run), **began, **learned}


def _learned(config: TrainingConfig, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the result says of epochs and siblings, and what it warns of."""
    from textvae.training.epochs import epochs_facts
    from textvae.training.tokenized_corpus import NO_SIBLINGS

    found = epochs_facts(facts, config.batch)
    warnings = found.pop("warnings", [])
    if config.sibling_share:
        found["siblings"] = facts.get("siblings", 0)
        if not found["siblings"]:
            warnings = [NO_SIBLINGS.format(config.sibling_share), *warnings]
    return {**found, "warnings": warnings} if warnings else found


def _start(store: StoreConfig, recipe: Recipe, corpus: Corpus, served: bool) -> "Start":
    """Return what the training begins from; a champion that cannot be read fails no run."""
    from textvae.training.start import Ancestor, choose_start

    ancestor, obstacle = None, ""
    if served:
        try:
            version = champion(store.registry, store.model)
            ancestor = Ancestor(version.name, version.folder, version.manifest)
        except (CorruptError, NotFoundError) as error:
            obstacle = f"the champion cannot be read ({error})"
    return choose_start(recipe, corpus, ancestor, obstacle=obstacle)


def _both(first: ProgressCallback, second: ProgressCallback) -> ProgressCallback:
    """Return a callback that calls both."""

    def on_progress(
        what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        first(what, done, total, figures)
        second(what, done, total, figures)

    return on_progress


if __name__ == "__main__":
    run_job("train", Train, main)
