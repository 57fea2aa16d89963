"""Figures of samples, paths and labels: computed once, and read from the attachment."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import toys
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.start import load_engine
from textvae.evaluation import generation_cache
from textvae.evaluation.generation_cache import cached_generation_figures, label_figures
from textvae.files import canonical_json
from textvae.progress import no_progress
from textvae.settings import to_mapping
from textvae.store.attachments import list_attachments
from textvae.store.promotions import champion

CORPUS = toys.corpus()
LEARNED, HELD_OUT = CORPUS.train[:2000], CORPUS.test[:100]
SERVE = ServeConfig(threads=1)
CONFIG = EvaluationConfig(generation_sentences=60, judge_steps=5, path_pairs=5)


@pytest.fixture(scope="module")
def engine(registry: Path) -> Iterator[Engine]:
    """An engine of the toy version."""
    running = load_engine(registry, toys.MODEL, None, SERVE)
    yield running
    assert running.close(30)


def test_the_figures_of_samples_are_computed_once_and_then_read(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples of the fitted prior, paths and labels, in one attachment of JSON."""
    own = tmp_path / "registry"
    shutil.copytree(registry, own)
    version = champion(own, toys.MODEL)
    found = cached_generation_figures(own, version, LEARNED, HELD_OUT, CONFIG, SERVE, no_progress)
    assert found["generation_prior"] == "fitted"
    assert {"forward_perplexity_ratio", "homotopy_end_bleu", "label_kept_share"} <= set(found)
    names = [name for name in list_attachments(own, version) if name.startswith("generation-")]
    rows = [row._asdict() for row in HELD_OUT]
    key = hashlib.sha256(canonical_json([to_mapping(CONFIG), rows])).hexdigest()
    assert names == [f"generation-{key[:8]}"], "the name of earlier ones, at the default limits"
    monkeypatch.setattr(generation_cache, "start_engine", None)
    again = cached_generation_figures(own, version, LEARNED, HELD_OUT, CONFIG, SERVE, no_progress)
    assert again == found
    longer = ServeConfig(tokens_max=256, threads=1)
    with pytest.raises(TypeError):  # no engine: other limits have another name
        cached_generation_figures(own, version, LEARNED, HELD_OUT, CONFIG, longer, no_progress)


def test_a_label_is_preserved_by_the_latent_as_a_classifier_finds(engine: Engine) -> None:
    """The toy labels are tenses, which the words of a sentence determine."""
    found = label_figures(engine, LEARNED, HELD_OUT, seed=0)
    assert found["label_judge_accuracy"] >= 0.9
    assert found["label_kept_share"] >= 0.9
    wrong = [row._replace(label="past") for row in HELD_OUT]
    assert label_figures(engine, LEARNED, wrong, seed=0)["label_judge_accuracy"] < 0.5


def test_text_without_two_labels_has_no_figures_of_labels(engine: Engine) -> None:
    unlabelled = [row._replace(label="") for row in LEARNED]
    assert label_figures(engine, unlabelled, HELD_OUT, seed=0) == {}
