"""`python -m jobs.explain`: the article's pictures, latents without the KL, with it alone, both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textvae import files
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.locks import hold_lock
from textvae.training.recipe import Recipe

from .command import run_job
from .progress import show_progress

# What separates the three in five minutes on two cores, whatever the seed: a rate of some nats is
# all that two dimensions hold, and hidden words make the decoder depend on them.
TOKENIZER = TokenizerConfig(vocab=600, kind="bpe")
MODEL = ModelConfig(embed=48, hidden=96, latent=2, dropout=0.0)
TRAINING = TrainingConfig(
    steps=1000,
    learning_rate=4e-3,
    word_dropout=0.3,
    word_noise=0.0,
    kl_steps=600,
    target_kl_nats=5.0,
    validation_steps=100,
)


@dataclass(frozen=True)
class Explain:
    """Trains one recipe three times, without KL, with KL alone and with both, and maps each latent.

    The text is the toy grammar. Only the objective differs: recipe and seed are the same.
    """

    folder: Path = Path("explain")
    """Folder of everything that is made: maps.png, figures.json and the runs."""
    tokenizer: TokenizerConfig = TOKENIZER
    model: ModelConfig = MODEL
    training: TrainingConfig = TRAINING


def main(settings: Explain) -> dict[str, Any]:
    """Return outcome `explained`, the picture's path and the figures of each of the three."""
    from textvae.experiments.explain import NOTE, explain, panels
    from textvae.reporting.plots import draw_maps

    folder = settings.folder
    recipe = Recipe(settings.tokenizer, settings.model, settings.training)
    with hold_lock(folder / "lock", "explain"), show_progress() as on_progress:
        maps = explain(recipe, folder / "runs", on_progress)
        figures = {objective: one.figures._asdict() for objective, one in maps.items()}
        problem = draw_maps(panels(maps), NOTE, folder / "maps.png")
        files.write_json(folder / "figures.json", figures)
    explained: dict[str, Any] = {"outcome": "explained", "figures": figures}
    if problem:
        return {**explained, "problems": [f"the picture {problem}"]}
    return {**explained, "picture": str(folder / "maps.png")}


if __name__ == "__main__":
    run_job("explain", Explain, main)
