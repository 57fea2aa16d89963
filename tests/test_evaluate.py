"""The figures of a version, and which sentences they are made of."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import toys
from textvae.client import Client
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.engine.start import start_engine
from textvae.errors import DataError
from textvae.evaluation.evaluate import bleu, evaluate, exact_share
from textvae.evaluation.holdout import first_texts_by_hash
from textvae.evaluation.length_limits import sentences_within_limits
from textvae.experiments.show import request_show
from textvae.progress import no_progress
from textvae.reporting.plots import draw_kl, draw_losses, draw_map
from textvae.store.promotions import champion
from textvae.store.versions import Version
from textvae.text.sentence import Sentence

CONFIG = EvaluationConfig(importance_samples=5, prior_draws=100)
HELD_OUT = [row.text for row in toys.corpus().test[:150]]
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def figures(toy_version: tuple[Path, Version]) -> Mapping[str, Any]:
    """The toy version's figures."""
    registry, version = toy_version
    with start_engine(registry, version, ServeConfig()) as engine:
        return evaluate(version, engine, HELD_OUT, CONFIG, no_progress).figures


def test_a_healthy_version_has_healthy_figures(figures: Mapping[str, Any]) -> None:
    """Bounds that hold for any model, and floors that a collapsed one cannot reach."""
    assert figures["elbo_nats"] == pytest.approx(
        -(figures["reconstruction_nats"] + figures["kl_nats"])
    )
    assert figures["iw_nll_nats"] < -figures["elbo_nats"]
    assert figures["kl_nats"] == pytest.approx(sum(figures["kl_nats_by_dimension"]), rel=1e-3)
    assert figures["informed_nats"] > figures["kl_nats"] / 2
    assert figures["shuffle_nats"] > 10
    assert 0 < figures["mutual_information_nats"] <= math.log(len(HELD_OUT)) + 1e-9
    assert 8 <= figures["active_units"] <= figures["latent"] == 16
    assert figures["reconstruction_bleu"] > 80
    assert figures["reconstruction_exact"] > 0.7
    assert figures["distinct_share_standard"] > 0.9
    words = sum(len(sentence.split()) for sentence in HELD_OUT)
    by_hand = math.exp(figures["iw_nll_nats"] * len(HELD_OUT) / (words + len(HELD_OUT)))
    assert figures["perplexity_per_word"] == pytest.approx(by_hand)


def test_bleu_and_exact_share_know_a_copy_from_a_change() -> None:
    lines = ["the cat sat on the mat today", "a dog ran over the green hill"]
    assert bleu(lines, lines) == pytest.approx(100)
    assert bleu(lines[::-1], lines) < 10
    assert exact_share([lines[0], "else"], lines) == 0.5


def test_held_out_text_is_the_same_choice_whatever_is_added() -> None:
    rows = [Sentence(text) for text in HELD_OUT]
    chosen = first_texts_by_hash(rows, 20)
    assert len(chosen) == 20
    assert first_texts_by_hash(rows[::-1], 20) == chosen
    assert [text for text in first_texts_by_hash(rows, 0) if text in chosen] == chosen


def test_text_that_a_service_would_refuse_is_left_out_and_counted(
    registry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line of 900 characters is learned from, truncated; figures are of complete sentences."""
    version = champion(registry, toys.MODEL)
    long = ["The child will sing a song at home. " * 30, "x" * 2000]
    with caplog.at_level(logging.WARNING):
        assert (
            sentences_within_limits([*long, *HELD_OUT], [version.folder], ServeConfig()) == HELD_OUT
        )
    assert "2 sentences are too long to be measured" in caplog.text
    with pytest.raises(DataError, match="none is at most 128 tokens"):
        sentences_within_limits(long, [version.folder], ServeConfig())


def test_the_show_is_made_of_what_the_server_answers(toy_server: Any) -> None:
    with Client(toy_server.address) as client:
        show = request_show(client, HELD_OUT, draws=50)
    assert show.homotopy_ends_are_reconstructions
    assert [len(path) for path in show.homotopies] == [7, 7]
    assert [sentence for sentence, _ in show.reconstructions] == HELD_OUT[:10]
    assert len(show.samples) == 10
    assert show.method == "draw"
    assert [len(varied) for _, varied in show.variations] == [3] * 5
    for sentence, varied in show.variations:
        assert sentence not in [one.text for one in varied]
        assert all(one.adequacy >= 0 and one.fluency > 0 for one in varied)
    assert show.distinct_share > 0.9


def test_pictures_are_drawn_from_what_a_run_leaves(
    runs: Path, registry: Path, tmp_path: Path
) -> None:
    assert registry.exists()
    draw_losses(runs / "vae" / "metrics.jsonl", tmp_path / "losses.png")
    draw_kl([0.5, 2.0, 0.0], tmp_path / "kl.png")
    means = np.random.default_rng(0).normal(size=(50, 6))
    draw_map(means, ["past", "present"] * 25, tmp_path / "map.png")
    for name in ("losses", "kl", "map"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)


def test_a_line_of_metrics_is_json_with_a_phase_and_a_step(runs: Path, registry: Path) -> None:
    assert registry.exists()
    for line in (runs / "vae" / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        assert entry["phase"] in ("vae", "language-model")
        assert entry["step"] > 0
