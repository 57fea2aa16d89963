"""What a version writes, judged: asked once, kept, and whole."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import toys
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.start import load_engine
from textvae.evaluation import generation_cache as samples
from textvae.evaluation.generation_cache import cached_generation_figures, label_figures
from textvae.store.attachments import list_attachments
from textvae.store.promotions import champion

CORPUS = toys.corpus()
LEARNED, HELD_OUT = CORPUS.train[:2000], CORPUS.test[:100]
CONFIG = EvaluationConfig(generation_sentences=60, judge_steps=5, path_pairs=5)


def quiet(what: str, done: int, parts: int) -> None:
    """Nobody is told."""


@pytest.fixture(scope="module")
def engine(registry: Path) -> Iterator[Engine]:
    """An engine of the toy version."""
    running = load_engine(registry, toys.MODEL, None, ServeConfig(threads=1))
    yield running
    assert running.close(30)


def test_a_version_is_judged_by_its_samples_once_and_read_ever_after(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples of the fitted prior, paths and labels, in one attachment of JSON."""
    place = tmp_path / "registry"
    shutil.copytree(registry, place)
    version = champion(place, toys.MODEL)
    found = cached_generation_figures(place, version, LEARNED, HELD_OUT, CONFIG, quiet)
    assert found["generation_prior"] == "fitted"
    assert {"forward_perplexity_ratio", "homotopy_end_bleu", "label_kept_share"} <= set(found)
    names = [name for name in list_attachments(place, version) if name.startswith("generation-")]
    assert len(names) == 1
    monkeypatch.setattr(samples, "start_engine", None)
    assert cached_generation_figures(place, version, LEARNED, HELD_OUT, CONFIG, quiet) == found


def test_a_label_goes_through_the_latent_and_a_judge_of_our_own_says_so(engine: Engine) -> None:
    """The toy labels are tenses, which the sentence's words tell."""
    found = label_figures(engine, LEARNED, HELD_OUT, seed=0)
    assert found["label_judge_accuracy"] >= 0.9
    assert found["label_kept_share"] >= 0.9
    strange = [row._replace(label="past") for row in HELD_OUT]
    assert label_figures(engine, LEARNED, strange, seed=0)["label_judge_accuracy"] < 0.5


def test_text_without_two_labels_has_no_figures_of_labels(engine: Engine) -> None:
    plain = [row._replace(label="") for row in LEARNED]
    assert label_figures(engine, plain, HELD_OUT, seed=0) == {}
