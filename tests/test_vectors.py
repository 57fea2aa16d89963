"""What vectors are good for: labels of held-out sentences by their neighbours and by a probe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import toys
from textvae.config.data import DataConfig
from textvae.config.evaluation import EvaluationConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.ingest import ingest
from textvae.engine.start import start_engine
from textvae.evaluation.cache import cached_evaluation
from textvae.evaluation.vectors import (
    LABELS_MAX,
    _folds,
    describe_vectors,
    frozen_labelled,
    label_accuracies,
    sentences_of_labels,
    terms_of,
    vector_figures,
)
from textvae.progress import no_progress
from textvae.store.versions import Version
from textvae.text.sentence import Sentence

CONFIG = EvaluationConfig(importance_samples=2, prior_draws=10)


def rows_of(*labels: str, group: str = "") -> list[Sentence]:
    return [Sentence(f"word {n}", label, group) for n, label in enumerate(labels)]


def test_vectors_that_tell_labels_are_told_from_those_that_do_not() -> None:
    """Words say nothing here, and the cosine is blind to how long a vector is."""
    rows = rows_of(*["a", "b", "c"] * 40)
    random = np.random.default_rng(0)
    means = np.eye(3)[[0, 1, 2] * 40] * random.uniform(0.5, 20, (120, 1))
    means += random.normal(0, 0.02, means.shape)
    good = label_accuracies(means, rows, 0)
    assert good["vector_neighbour_accuracy"] == 1
    assert good["vector_probe_accuracy"] > 0.9
    assert good["vector_words_accuracy"] < 0.5
    assert good["vector_chance_accuracy"] == pytest.approx(1 / 3)
    assert (good["vector_sentences"], good["vector_labels"]) == (120, 3)
    bad = label_accuracies(random.normal(size=(120, 3)), rows, 0)
    assert bad["vector_neighbour_accuracy"] < 0.5
    assert bad["vector_probe_accuracy"] < 0.5
    assert bad["vector_majority_accuracy"] < 0.4


def test_words_that_tell_labels_are_found_in_scripts_without_spaces_too() -> None:
    rows = [Sentence(f"{text}{n}", label) for n in range(30)
            for text, label in (("我要退货", "returns"), ("你好", "greeting"))]  # fmt: skip
    found = label_accuracies(np.zeros((60, 2)), rows, 0)
    assert found["vector_words_accuracy"] == 1
    assert found["vector_probe_accuracy"] <= 0.5
    assert terms_of("Don't go, ab1!") == ["don", "'", "t", "go", ",", "ab1", "!"]
    assert terms_of("退货 ok") == ["退", "货", "ok"]


def test_figures_are_a_function_of_the_seed() -> None:
    rows = rows_of(*["a", "b"] * 30)
    means = np.random.default_rng(1).normal(size=(60, 4))
    one = label_accuracies(means, rows, 3)
    assert one == label_accuracies(means, rows, 3)
    assert one != label_accuracies(means, rows, 4)


def test_every_sentence_is_judged_once_by_others_and_groups_stay_together() -> None:
    rows = [Sentence(f"s{n}", "ab"[n % 2], f"g{n // 4}") for n in range(80)]
    seen: list[int] = []
    for held, fitted in _folds(rows, 0):
        seen += held.tolist()
        assert not set(held) & set(fitted)
        assert not {rows[n].group for n in held} & {rows[n].group for n in fitted}
    assert sorted(seen) == list(range(80))
    labels = [Sentence(f"s{n}", "ab"[n % 2], "ab"[n % 2]) for n in range(80)]
    for held, _ in _folds(labels, 0):
        assert {labels[n].label for n in held} == {"a", "b"}


def test_lone_and_rare_labels_are_left_out() -> None:
    many = [Sentence(f"{label} {n}", f"l{label}") for label in range(LABELS_MAX + 5)
            for n in range(2 + (label < 3))]  # fmt: skip
    kept = sentences_of_labels([*many, Sentence("x", "lone")])
    labels = {row.label for row in kept}
    assert len(labels) == LABELS_MAX
    assert {"l0", "l1", "l2"} <= labels
    assert "lone" not in labels


def test_without_labels_there_are_no_figures(toy_version: tuple[Path, Version]) -> None:
    registry, version = toy_version
    with start_engine(registry, version, ServeConfig()) as engine:
        for rows in ([], rows_of("a", "b"), rows_of(*["a"] * 40), rows_of(*map(str, range(40)))):
            assert vector_figures(engine, rows, CONFIG, no_progress) == {}


def test_an_evaluation_has_them_and_attaches_them(toy_version: tuple[Path, Version]) -> None:
    """The toy grammar's labels show in its vectors better than by chance."""
    registry, version = toy_version
    test = toys.corpus().test[:200]
    assert len({row.label for row in test}) >= 2
    texts = [row.text for row in test[:20]]
    first, again = (
        cached_evaluation(registry, version, texts, CONFIG, ServeConfig(), no_progress, (), test)
        for _ in range(2)
    )
    assert first.figures == again.figures
    assert first.figures["vector_neighbour_accuracy"] > first.figures["vector_chance_accuracy"]
    assert first.figures["vector_probe_accuracy"] > first.figures["vector_majority_accuracy"]
    without = cached_evaluation(registry, version, texts, CONFIG, ServeConfig(), no_progress)
    assert "vector_sentences" not in without.figures


def test_the_labelled_sentences_stay_as_they_are_and_are_held_out(tmp_path: Path) -> None:
    def add(first: int) -> None:
        lines = [f'{{"text": "sentence {n} here", "label": "l{n % 3}"}}'
                 for n in range(first, first + 200)]  # fmt: skip
        (tmp_path / f"{first}.jsonl").write_text("\n".join(lines))
        config = DataConfig((tmp_path / f"{first}.jsonl",), valid_share=0.2, test_share=0.2)
        ingest(config, tmp_path / "spans")

    add(0)
    before = frozen_labelled(tmp_path / "spans", 0.2, 30)
    everything = frozen_labelled(tmp_path / "spans", 0.2, 1000)
    add(1000)
    assert frozen_labelled(tmp_path / "spans", 0.2, 30) == before == everything[:30]
    assert frozen_labelled(tmp_path / "spans", 0.2, 1000)[: len(everything)] == everything
    assert 40 < len(everything) < 90
    assert frozen_labelled(tmp_path / "spans", 0.2, 0) == []


def test_the_words_of_the_doctor_name_the_figures() -> None:
    figures: dict[str, Any] = {
        "vector_sentences": 1200,
        "vector_labels": 77,
        "vector_neighbour_accuracy": 0.57,
        "vector_probe_accuracy": 0.7,
        "vector_words_accuracy": 0.77,
        "vector_majority_accuracy": 0.02,
    }
    said = describe_vectors(figures)
    for words in ("1,200 held-out sentences with 77 labels", "of 57%", "70%", "77%", "2%"):
        assert words in said
    assert describe_vectors({**figures, "vector_probe_accuracy": None}) == ""
    assert describe_vectors({}) == ""
