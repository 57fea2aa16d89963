"""`python -m jobs.table`: makes every figure of the quality tables from text and seeds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from textvae.config.evaluation import EvaluationConfig
from textvae.errors import InputError
from textvae.experiments.corpora import parse_sources, prepare_corpus
from textvae.experiments.rows import SCALES, base_recipe, check_rows, scale_of
from textvae.experiments.table import make_table
from textvae.experiments.tasks import Plan
from textvae.experiments.workers import threads_of
from textvae.locks import hold_lock

from .command import run_job
from .progress import show_progress


@dataclass(frozen=True)
class Table:
    """Trains and measures every row of the quality table on every corpus with every seed.

    A finished row is not computed again, and one that was cut off resumes. On the CPU the same
    settings and threads give the same bytes of table.json and table.md; on a GPU the last digits
    may differ.
    """

    corpora: tuple[str, ...] = ("demo",)
    """The word demo, folders with train, valid and test files, or text to be split by hash."""
    folder: Path = Path("table")
    """Folder of table.md and table.json and of everything they are made from."""
    scale: Literal["small", "full"] = "small"
    """Sizes and steps; each can be replaced below."""
    rows: tuple[str, ...] = ()
    """Rows by name; none for those of the scale. The error for a wrong name lists all."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of each row; the spread over them is its standard deviation."""
    sentences: int = 40_000
    """Training sentences kept of each corpus, the first by hash; 0 for all."""
    dropouts: tuple[float, ...] = (0.1, 0.3, 0.5)
    """Dropouts of the language models; the best on the validation side is the limit to beat."""
    one_language_model: bool = False
    """Train language models with the first seed alone, and compare rows of all seeds with them."""
    workers: int = 1
    """Processes, each of which computes one row at a time."""
    threads: int = 0
    """Threads of a worker, which change last bits; 0: all cores for one worker, else 1 each."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where rows are trained and likelihoods measured."""
    vocab: int = 0
    """Tokens of the vocabulary; 0 for the scale's."""
    embed: int = 0
    """Width of a token embedding; 0 for the scale's."""
    hidden: int = 0
    """Width of the GRUs; 0 for the scale's."""
    latent: int = 0
    """Width of every row's latent; 0 for the preset's."""
    steps: int = 0
    """Optimizer steps of a VAE; 0 for the scale's."""
    language_model_steps: int = 0
    """Optimizer steps of a language model; 0 for the scale's."""
    batch: int = 0
    """Sentences a step; 0 for the scale's."""
    learning_rate: float = 0.0
    """Peak step size of Adam; 0 for the scale's."""
    likelihood_samples: int = 0
    """Importance samples of plain, annealing-only and the lm rows; 0 for the scale's."""
    checkpoint_s: float = 60.0
    """Seconds between checkpoints."""
    evaluation: EvaluationConfig = EvaluationConfig(sentences=2000)

    def __post_init__(self) -> None:
        """Raise InputError for a number below its limit or an empty list."""
        for name, low in (("workers", 1), ("threads", 0), ("sentences", 0)):
            if getattr(self, name) < low:
                raise InputError(name, f"must be {low} or more, got {getattr(self, name)}")
        if self.evaluation.device not in ("cpu", self.device):
            raise InputError("evaluation.device", f"is --device here; set it, it is {self.device}")
        for name in ("seeds", "dropouts"):
            if not getattr(self, name):
                raise InputError(name, "must name at least one")


def main(settings: Table) -> dict[str, Any]:
    """Return outcome `made` and the path of the table.

    Raises what reading text raises, InputError for an unknown row, and the error of the first row
    that failed, once all others are done.
    """
    with hold_lock(settings.folder / ".lock", "table"), show_progress() as on_progress:
        plan = _plan(settings)
        path = make_table(plan, settings.workers, on_progress)
    return {"outcome": "made", "table": str(path)}


def _plan(settings: Table) -> Plan:
    """Return the plan of the settings, their zeros replaced, and read the corpora."""
    check_rows(settings.rows)
    sources = parse_sources(settings.corpora)
    sizes = ("vocab", "embed", "hidden", "latent")
    budget = ("steps", "language_model_steps", "batch", "learning_rate", "likelihood_samples")
    overrides = {name: getattr(settings, name) for name in (*sizes, *budget)}
    scale = scale_of(settings.scale, **overrides)
    base = base_recipe(scale, device=settings.device, checkpoint_s=settings.checkpoint_s)
    corpora = [
        prepare_corpus(source, settings.folder, settings.sentences, base.tokenizer)
        for source in sources
    ]
    return Plan(
        settings.folder,
        tuple(corpora),
        base,
        scale.latent,
        settings.rows or SCALES[settings.scale].rows,
        settings.seeds,
        settings.dropouts,
        replace(settings.evaluation, device=settings.device),
        scale.likelihood_samples,
        settings.one_language_model,
        threads_of(settings.threads, settings.workers, settings.device),
    )


if __name__ == "__main__":
    run_job("table", Table, main)
