"""`python -m jobs.demo` (`make demo`): text in, a trained and served version, sentences out."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from textvae import files
from textvae.config.data import DataConfig, StoreConfig, TokenizerConfig
from textvae.config.evaluation import EvaluationConfig
from textvae.config.nightly import NightlyConfig
from textvae.config.serve import ServeConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.bible import write_clauses
from textvae.corpus.spans import list_spans, load_spans
from textvae.errors import InputError
from textvae.evaluation.holdout import first_texts_by_hash
from textvae.progress import ProgressCallback
from textvae.settings import to_mapping
from textvae.store.versions import open_version
from textvae.training.recipe import Recipe

from .command import run_job

MAP_SENTENCES = 2000
DISTINCT_DRAWS = 200
INTERIM_SENTENCES = 3
"""Held-out sentences whose reconstruction is shown while the model trains."""

# What makes the show convincing in so little time: a variation keeps names and verbs of a clause of
# seven words where the latent carries more nats than the clause has, and the fitted prior mends
# what that rate costs the standard one. Of 148,000 clauses 84,000 have a sibling, so that at a
# share of 0.8 nearly half of what is learned is rephrased. Less than two epochs are seen, so
# units need no dropout.
TOKENIZER = TokenizerConfig(vocab=4000)
MODEL = ModelConfig(embed=128, hidden=256, latent=64, dropout=0.0)
TRAINING = TrainingConfig(
    steps=1500,
    language_model_steps=600,
    batch=128,
    tokens_max=64,
    learning_rate=2e-3,
    word_dropout=0.1,
    word_noise=0.0,
    sibling_share=0.8,
    kl_steps=500,
    target_kl_nats=52.0,
    validation_steps=500,
    checkpoint_s=60.0,  # each is shown: the first after a minute
)
EVALUATION = EvaluationConfig(
    sentences=500, importance_samples=50, prior_sentences=5000, prior_components=16
)


@dataclass(frozen=True)
class Demo:
    """Ingests text, trains for some three minutes on two cores, evaluates, serves and shows."""

    input: Path | None = None
    """Your own text, in any format of ingest, as data.inputs; without either: clauses of two
    public-domain Bibles."""
    folder: Path = Path("demo")
    """Folder of everything that the demo makes."""
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TOKENIZER
    model: ModelConfig = MODEL
    training: TrainingConfig = TRAINING
    evaluation: EvaluationConfig = EVALUATION


def main(settings: Demo) -> dict[str, Any]:
    """Return outcome `shown`, with the version's name and the path of the report."""
    from textvae.client import Client
    from textvae.experiments.show import print_show, report_of, request_show
    from textvae.release.smoke_test import run_server

    from . import evaluate, ingest, promote, train

    console = Console(stderr=True)
    folder = settings.folder
    store = StoreConfig(folder / "registry", "demo", folder / "spans", folder / "runs")
    ingest.main(ingest.Ingest(store, _data(settings)))
    newest = store.spans / list_spans(store.spans)[-1]
    data = json.loads((newest / "report.json").read_bytes())
    trained = train.main(
        train.Train(store, settings.tokenizer, settings.model, settings.training),
        _interim_results(settings, store, console),
    )
    name = trained["version"]
    evaluated = evaluate.main(evaluate.Evaluate(name, store, settings.evaluation))
    promote.main(promote.Promote(name, "demo", force=True, store=store))
    sentences = first_texts_by_hash(load_spans(store.spans).test, settings.evaluation.sentences)
    served = (store.registry, store.model, NightlyConfig().start_timeout_s)
    with run_server(*served) as address, Client(address) as client:
        show = request_show(client, sentences, DISTINCT_DRAWS)
    print_show(show, console)
    report = report_of(show, evaluated["figures"], data)
    files.write_json(folder / "report.json", {"version": name, **report})
    pictures = _draw(store, name, evaluated["figures"], settings, trained["run"])
    paths = [str(path) for path, problem in pictures.items() if not problem]
    problems = [f"{path.name} {problem}" for path, problem in pictures.items() if problem]
    made = f"pictures: {', '.join(paths) or 'none'}"
    console.print("; ".join([f"report: {folder / 'report.json'}", made, *problems]))
    console.print(
        f"\nGo on with:\n  textvae serve --registry {store.registry} --model demo\n"
        f'  textvae interpolate "{sentences[0]}" "{sentences[-1]}" --steps 7'
    )
    shown = {"outcome": "shown", "version": name, "report": str(folder / "report.json")}
    return {**shown, "problems": problems} if problems else shown


def _interim_results(
    settings: Demo, store: StoreConfig, console: Console
) -> Callable[[Path], ProgressCallback]:
    """Return what makes, of a run's folder, the callback that shows what its model can do yet."""
    from textvae.experiments.interim import show_interim_results

    recipe = Recipe(settings.tokenizer, settings.model, settings.training).resolve()
    sentences = first_texts_by_hash(load_spans(store.spans).test, INTERIM_SENTENCES)
    return lambda run: show_interim_results(
        run, recipe.model, sentences, recipe.training.tokens_max, console
    )


def _data(settings: Demo) -> DataConfig:
    """Return the text to learn from: the user's, or the demo's corpus, which it writes to files.

    Raise InputError where text is named twice, or where settings say how to read text and none is
    named.
    """
    data = settings.data
    if settings.input:
        if data.inputs:
            raise InputError("input", "and data.inputs both name text; give one of the two")
        return replace(data, inputs=(settings.input,))
    if data.inputs or data.train or data.valid or data.test:
        return data
    changed = [
        name for name, value in to_mapping(data).items() if value != to_mapping(DataConfig())[name]
    ]
    if changed:
        problem = "is about text of your own, and none is named; give --input FILE or data.inputs"
        raise InputError(f"data.{changed[0]}", problem)
    return write_clauses(settings.folder)


def _draw(
    store: StoreConfig, name: str, figures: dict[str, Any], settings: Demo, run: str
) -> dict[Path, str]:
    """Draw the three pictures; return why each could not be drawn, or nothing, by its path."""
    from textvae.engine.operations.encode import encode_all
    from textvae.engine.start import start_engine
    from textvae.reporting.plots import draw_kl, draw_losses, draw_map

    paths = [settings.folder / f"{what}.png" for what in ("losses", "kl", "map")]
    problems = [
        draw_losses(Path(run) / "metrics.jsonl", paths[0]),
        draw_kl(figures["kl_nats_by_dimension"], paths[1]),
    ]
    rows = load_spans(store.spans).test[:MAP_SENTENCES]
    version = open_version(store.registry, store.model, name)
    with start_engine(store.registry, version, ServeConfig()) as engine:
        means = encode_all(
            engine.answer, engine.limits, [row.text for row in rows], settings.evaluation.seed
        ).mean
    problems.append(draw_map(means, [row.label for row in rows], paths[2]))
    return dict(zip(paths, problems, strict=True))


if __name__ == "__main__":
    run_job("demo", Demo, main)
