"""What a model can do while it trains: shown from its checkpoints, and no bit of it changed."""

import dataclasses
import io
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load

from jobs import ingest, train
from tests.test_start import corpus, learn, recipe
from textvae.config.data import DataConfig, StoreConfig
from textvae.corpus.toy_grammar import sample
from textvae.engine.load import LoadedVersion
from textvae.experiments import interim
from textvae.experiments.interim import interim_result, show_interim_results
from textvae.model.exact import ExactDecoder, ExactEncoder
from textvae.model.network import SentenceVae
from textvae.progress import ProgressCallback
from textvae.text.tokenizer import Tokenizer
from textvae.training.recipe import Recipe
from textvae.training.run import Candidate

SENTENCES = [row.text for row in corpus(200).test[:3]]


@pytest.fixture(scope="module")
def what() -> Recipe:
    """A recipe that saves after every step."""
    return recipe(checkpoint_s=0.0)


@pytest.fixture(scope="module")
def alone(what: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Candidate]:
    """The folder of a run that nobody watched, and what it learned."""
    run = tmp_path_factory.mktemp("alone")
    return run, learn(what, corpus(200), run)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call checks for a new checkpoint."""
    monkeypatch.setattr(interim, "SECONDS_BETWEEN_CHECKS", 0.0)


def watch(run: Path, what: Recipe, output: io.StringIO) -> ProgressCallback:
    """The callback that shows the run on `output`."""
    console = Console(file=output, width=200)
    return show_interim_results(run, what.model, SENTENCES, 20, console)


@pytest.mark.usefixtures("often")
def test_a_training_that_is_watched_ends_with_the_same_bits(
    what: Recipe, alone: tuple[Path, Candidate], tmp_path: Path
) -> None:
    """Three reconstructions and three samples of each checkpoint, the last one's too."""
    output = io.StringIO()
    show = watch(tmp_path, what, output)
    states: list[bool] = []

    def on_progress(name: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        before = torch.get_rng_state(), torch.get_num_threads()
        show(name, done, total, figures)
        after = torch.get_rng_state(), torch.get_num_threads()
        states.append(torch.equal(before[0], after[0]) and before[1] == after[1])

    made = learn(what, corpus(200), tmp_path, on_progress=on_progress)
    assert all(states)
    assert made.files == alone[1].files
    text = output.getvalue()
    for step in range(1, what.training.steps + 1):
        assert text.count(f"After {step} steps of the VAE") == 1
    assert text.count(SENTENCES[0]) >= what.training.steps
    assert text.count("(a sample)") == 3 * what.training.steps


@pytest.mark.parametrize("batchnorm_scale", [0.0, 0.5])
def test_outputs_are_those_of_the_network_in_the_checkpoint(
    tmp_path: Path, batchnorm_scale: float
) -> None:
    what = recipe(checkpoint_s=0.0)
    what = what._replace(model=dataclasses.replace(what.model, batchnorm_scale=batchnorm_scale))
    made = learn(what, corpus(200), tmp_path)
    checkpoint = tmp_path / "checkpoints" / "vae" / "00000012"
    result = interim_result(checkpoint, tmp_path / "tokenizer.model", what.model, SENTENCES, 20)
    assert result.step == 12
    assert [sentence for sentence, _ in result.reconstructions] == SENTENCES
    assert len(result.samples) == 3
    published = published_reconstructions(made, what)
    assert [text for _, text in result.reconstructions] == published


def published_reconstructions(made: Candidate, what: Recipe) -> list[str]:
    """The sentences, encoded and decoded by the weights that are published after this step."""
    tokenizer = Tokenizer(made.files["tokenizer.model"])
    model = SentenceVae(dataclasses.replace(what.model, batchnorm_scale=0.0), tokenizer.vocab)
    model.load_state_dict(load(made.files["model.safetensors"]))
    with torch.inference_mode():
        loaded = LoadedVersion(tokenizer, ExactEncoder(model), ExactDecoder(model), 4, None)
        means = loaded.posteriors(tokenizer.encode(SENTENCES)).mean
        return interim._decode_greedily(loaded, means, 20)


@pytest.mark.usefixtures("often")
def test_a_damaged_checkpoint_is_a_warning_with_its_reason_and_once(
    what: Recipe, alone: tuple[Path, Candidate], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "checkpoints" / "vae" / "00000007"
    checkpoint.mkdir(parents=True)
    (checkpoint / "sums.json").write_text("{")
    output = io.StringIO()
    show = watch(tmp_path, what, output)
    with caplog.at_level(logging.WARNING):
        show("vae", 8, 12)
        show("vae", 9, 12)
    [record] = caplog.records
    assert "cannot be shown: NotFoundError" in record.getMessage()
    assert "is damaged or was removed" in record.getMessage()
    assert output.getvalue() == ""


def test_the_job_hands_its_run_and_its_progress_to_whoever_watches(tmp_path: Path) -> None:
    (tmp_path / "toy.txt").write_text("\n".join(row.text for row in sample(600, seed=0)))
    store = StoreConfig(tmp_path / "registry", "toy", tmp_path / "spans", tmp_path / "runs")
    ingest.main(ingest.Ingest(store, DataConfig(inputs=(tmp_path / "toy.txt",))))
    calls: list[tuple[Path, str, int]] = []

    def watch_run(run: Path) -> ProgressCallback:
        return lambda name, done, total, figures=None, /: calls.append((run, name, done))

    settings = train.Train(store, *recipe())
    result = train.main(settings, watch_run)
    assert calls[0] == (Path(result["run"]), "vae", 1)
    assert len(calls) == recipe().training.steps + recipe().training.language_model_steps
