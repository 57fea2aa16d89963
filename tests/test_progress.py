"""What is shown of a run while it trains: running means, per sentence and per token, and time."""

import dataclasses
import io
import itertools
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from jobs import progress
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.progress import ProgressCallback
from textvae.text.batches import Batch, Batches, batch_of, store_tokens
from textvae.training import phases
from textvae.training.loop import fit
from textvae.training.phases import language_model_phase, vae_phase
from textvae.training.recipe import Recipe
from textvae.training.running_means import RunningMeans, StepRecord

VOCAB = 60
SHORT, LONG = 3, 40


def recipe(**training: Any) -> Recipe:
    """A recipe that learns next to nothing, so that its steps differ by length alone."""
    return Recipe(
        TokenizerConfig(vocab=300, kind="bpe"),
        ModelConfig(embed=8, hidden=12, latent=4, dropout=0.0),
        dataclasses.replace(
            TrainingConfig(
                steps=80,
                language_model_steps=80,
                batch=16,
                log_steps=20,
                validation_steps=0,
                learning_rate=1e-8,
                kl_steps=0,
                kl_start=1.0,
                target_kl_nats=0.0,
                collapse_stops=False,
                precision="fp32",
            ),
            **training,
        ),
    )


def batches_by_length(what: Recipe) -> Batches:
    """As many sentences of 3 words as of 40, which no batch mixes."""
    rng = np.random.default_rng(0)
    lengths = [SHORT, LONG] * 160
    sentences = [rng.integers(4, VOCAB, length).tolist() for length in lengths]
    batches = Batches(store_tokens(sentences, 99).store, what.training.batch, 0)
    for step in range(batches.per_epoch):
        assert len(set(batches.at(0, step).lengths)) == 1
    return batches


def run_phase(
    what: Recipe, run: Path, phase: str = "vae", on_progress: ProgressCallback | None = None
) -> list[dict[str, Any]]:
    """Train a phase; return its training lines in metrics.jsonl."""
    batches = batches_by_length(what)
    torch.manual_seed(0)
    if phase == "vae":
        built = vae_phase(phases.SentenceVae(what.model, VOCAB), what, batches.source)
    else:
        model = phases.LanguageModel(what.model, VOCAB)
        built = language_model_phase(model, what, batches.source)
    fit(built, batches, what.training, run, on_progress or (lambda *_: None))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "learning_rate" in line]


def largest_jump(values: list[float]) -> float:
    """The largest difference of neighbours."""
    return max(abs(one - other) for one, other in itertools.pairwise(values))


@pytest.mark.parametrize("phase", ["vae", "language-model"])
def test_consecutive_lines_do_not_jump_with_the_length_of_a_batch(
    tmp_path: Path, phase: str
) -> None:
    """Single batches have either about 4 tokens a sentence or about 41."""
    single = run_phase(recipe(log_steps=1), tmp_path / "single", phase)
    means = run_phase(recipe(), tmp_path / "means", phase)
    assert [line["step"] for line in means] == [20, 40, 60, 80]
    jump = largest_jump([line["reconstruction_nats"] for line in single])
    assert jump > 100
    assert largest_jump([line["reconstruction_nats"] for line in means]) < jump / 50
    # Within a batch of either length a token costs about ln 60 at the first weights.
    for line in means:
        assert line["reconstruction_nats_per_token"] == pytest.approx(np.log(VOCAB), rel=0.1)


def test_lines_have_the_means_of_the_steps_since_the_line_before(tmp_path: Path) -> None:
    """Weighted by sentences and by tokens, which is not the mean of the batches' own ratios."""
    what = recipe()
    single = run_phase(recipe(log_steps=1), tmp_path / "single")
    means = run_phase(what, tmp_path / "means")
    batches = batches_by_length(what)
    for line in means:
        steps = range(line["step"] - 20, line["step"])
        every = [batches.at(*divmod(step, batches.per_epoch)) for step in steps]
        sentences = sum(len(batch.rows) for batch in every)
        tokens = sum(int((batch.tokens[:, 1:] > 0).sum()) for batch in every)
        for name in ("reconstruction_nats", "kl_nats"):
            nats = sum(
                single[step][name] * len(batch.rows)
                for step, batch in zip(steps, every, strict=True)
            )
            assert line[name] == pytest.approx(nats / sentences, rel=1e-5)
            assert line[f"{name}_per_token"] == pytest.approx(nats / tokens, rel=1e-5)
        norms = [single[step]["gradient_norm"] for step in steps]
        assert line["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-5)
        assert line["kl_weight"] == 1.0
        assert line["tokens_per_s"] / line["sentences_per_s"] == pytest.approx(
            tokens / sentences, rel=1e-4
        )
        assert line["sentences_per_s"] * line["step_s"] == pytest.approx(sentences / 20, rel=1e-4)


def test_the_progress_of_a_step_has_the_means_up_to_it(tmp_path: Path) -> None:
    seen: dict[int, Mapping[str, float]] = {}

    def on_progress(
        what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        assert figures
        seen[done] = figures

    lines = run_phase(recipe(), tmp_path, on_progress=on_progress)
    assert list(seen) == list(range(1, 81))
    for line in lines:
        for name, value in seen[line["step"]].items():
            assert line[name] == pytest.approx(value, rel=1e-5)
    jumps = [seen[step]["reconstruction_nats"] for step in range(40, 81)]
    assert largest_jump(jumps) < 15, "a window of 20 steps moves by a twentieth of a batch's jump"


def batch_with(*lengths: int) -> Batch:
    """A batch of sentences of so many words."""
    return batch_of([[5] * length for length in lengths])


def test_means_of_two_processes_are_of_the_own_share_and_their_speed_is_of_all() -> None:
    means = RunningMeans(2)
    means.add(StepRecord({"kl_nats": 1000.0}, batch_with(1), batch_with(1), 9.0, 9.0))
    means.add(StepRecord({"kl_nats": 2.0}, batch_with(3, 3), batch_with(3, 3, 3), 0.5, 1.0))
    means.add(StepRecord({"kl_nats": 8.0}, batch_with(9), batch_with(9, 9), 1.5, 3.0))
    assert means.figures() == pytest.approx(
        {
            "kl_nats": (2 * 2.0 + 8.0) / 3,
            "kl_nats_per_token": (2 * 2.0 + 8.0) / (4 + 4 + 10),
            "gradient_norm": 2.0,
            "step_s": 1.0,
            "sentences_per_s": 5 / 2.0,
            "tokens_per_s": (3 * 4 + 2 * 10) / 2.0,
        }
    )


FIGURES = {
    "reconstruction_nats": 34.256,
    "reconstruction_nats_per_token": 2.8541,
    "kl_nats": 5.32,
    "kl_nats_per_token": 0.4433,
    "kl_weight": 0.5,
    "gradient_norm": 7.0,
    "step_s": 0.0123,
    "sentences_per_s": 1000.0,
    "tokens_per_s": 12345.6,
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that sets the clock, in seconds."""
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])

    def set_clock(seconds: float) -> None:
        now_s[0] = seconds

    return set_clock


def test_without_a_terminal_a_line_shows_nats_step_time_tokens_a_second_and_time_left(
    clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Every ten seconds; the time left is that of the speed since the run was taken up."""
    caplog.set_level(logging.INFO)
    with progress.show_progress() as on_progress:
        for second in range(21):
            clock(100.0 + second)
            on_progress("vae", 1000 + 50 * second, 20_000, FIGURES)
        clock(500.0)
        on_progress("vae", 20_000, 20_000, FIGURES)
    figures = (
        "reconstruction 34.26 nats/sentence  2.854 nats/token  KL 5.32 nats/sentence  "
        "0.443 nats/token  KL weight 0.5  0.0123 s/step  12,346 tokens/s"
    )
    assert [record.getMessage() for record in caplog.records] == [
        f"vae: 1000 of 20000  {figures}",
        f"vae: 1500 of 20000  {figures}  0:06:10 left",
        f"vae: 2000 of 20000  {figures}  0:06:00 left",
        f"vae: 20000 of 20000  {figures}",
    ]


def test_a_bar_on_a_terminal_shows_the_same_figures_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also on a narrow one, and of a run that was resumed just now."""
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = io.StringIO()
    with progress._bars(Console(file=shown, force_terminal=True, width=80)) as on_progress:
        for done in range(19_000, 19_011):
            on_progress("vae", done, 20_000, FIGURES)
            time.sleep(0.02)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue()).replace("\r", "\n")
    bar = " ".join(text[text.rindex("vae") :].split())
    minutes, seconds = re.search(r" 19010/20000 (\d+):(\d+) ", bar).groups()  # type: ignore[union-attr]
    assert 60 * int(minutes) + int(seconds) >= 0.9 * 0.02 * 990
    assert bar.endswith(
        "reconstruction 34.26 nats/sentence 2.854 nats/token KL 5.32 nats/sentence "
        "0.443 nats/token KL weight 0.5 0.0123 s/step 12,346 tokens/s"
    )


def test_the_time_left_of_work_that_begins_again_is_of_its_own_speed(
    clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with progress.show_progress() as on_progress:
        for begin_s, part_s in ((0.0, 10.0), (1000.0, 3600.0)):
            for done in range(3):
                clock(begin_s + part_s * done)
                on_progress("samples", done, 3)
    left = [re.search(r"\S+ left", record.getMessage()) for record in caplog.records]
    assert [found and found.group() for found in left] == [
        None,
        "0:00:20 left",
        "0:00:10 left",
        None,
        "2:00:00 left",
        "1:00:00 left",
    ]
