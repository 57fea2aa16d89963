"""What the vectors of a version are good for: whether they tell the labels of held-out sentences.

Nothing is fitted to the labels but in cross-validation on held-out sentences, which the version
never saw. Beside the vectors stand a classifier of words on the same folds, the commonest label
and chance, for no accuracy means much alone.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from textvae.config.evaluation import EvaluationConfig
from textvae.corpus.spans import list_spans, load_spans
from textvae.engine.engine import Engine
from textvae.engine.operations.encode import encode_all
from textvae.evaluation.holdout import first_by_hash, is_sealed
from textvae.progress import ProgressCallback
from textvae.text.sentence import Sentence
from textvae.text.words import joins_words

FOLDS = 5
LABELS_MAX = 200
"""Most labels, the commonest: a fit takes time in proportion to them."""
SENTENCES_MIN = 20
"""Fewest sentences of figures."""
ITERATIONS_MAX = 300
WORDS_INVERSE_PENALTY, VECTORS_INVERSE_PENALTY = 10.0, 1.0


def frozen_labelled(spans: Path, sealed_share: float, count: int) -> list[Sentence]:
    """Return the first `count` held-out sentences with a label, oldest spans first, by hash: those
    of the validation side and of the test side that are not sealed. They stay as they are, whatever
    is ingested, once there are so many."""
    chosen: list[Sentence] = []
    for name in list_spans(spans) if count else []:
        corpus = load_spans(spans, [name])
        test = [row for row in corpus.test if not is_sealed(row, sealed_share)]
        rows = [row for row in (*corpus.valid, *test) if row.label]
        chosen += first_by_hash(rows, 0)[: count - len(chosen)]
        if len(chosen) >= count:
            break
    return chosen


def vector_figures(
    engine: Engine,
    labelled: Sequence[Sentence],
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """Return the accuracies of posterior means on labelled held-out sentences; nothing where fewer
    than two labels have two sentences, or all have fewer than SENTENCES_MIN.

    `vector_neighbour_accuracy`: of the label of the nearest other sentence by the cosine (1-NN);
    `vector_probe_accuracy`: of a logistic regression on the vectors; `vector_words_accuracy`: of
    one on TF-IDF of words; `vector_majority_accuracy`: of the commonest label;
    `vector_chance_accuracy`: of labels drawn as often as they are.
    """
    rows = sentences_of_labels(labelled)
    if len(rows) < SENTENCES_MIN or len({row.label for row in rows}) < 2:
        return {}
    on_progress("labels by vectors", 0, 1)
    texts = [row.text for row in rows]
    means = encode_all(engine.answer, engine.limits, texts, config.seed).mean
    found = label_accuracies(means, rows, config.seed)
    on_progress("labels by vectors", 1, 1)
    return found


def sentences_of_labels(labelled: Sequence[Sentence]) -> list[Sentence]:
    """Return the sentences of the LABELS_MAX commonest labels that have two sentences or more."""
    counts = Counter(row.label for row in labelled)
    common = sorted(counts, key=lambda label: (-counts[label], label))[:LABELS_MAX]
    kept = {label for label in common if counts[label] > 1}
    return [row for row in labelled if row.label in kept]


def label_accuracies(means: np.ndarray, rows: Sequence[Sentence], seed: int) -> dict[str, Any]:
    """Return the figures of the rows by their vectors: (rows, latent) -> accuracies, 0 to 1."""
    labels = np.array([row.label for row in rows])
    terms = [terms_of(row.text) for row in rows]
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    units = means / np.where(lengths > 0, lengths, 1.0)
    right: dict[str, int] = dict.fromkeys(("neighbour", "probe", "words", "majority"), 0)
    for held, fitted in _folds(rows, seed):
        nearest = (units[held] @ units[fitted].T).argmax(1)
        probe = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=VECTORS_INVERSE_PENALTY, max_iter=ITERATIONS_MAX),
        )
        words = make_pipeline(
            TfidfVectorizer(analyzer=_as_it_is, sublinear_tf=True),
            LogisticRegression(C=WORDS_INVERSE_PENALTY, max_iter=ITERATIONS_MAX),
        )
        known, commonest = np.unique(labels[fitted], return_counts=True)
        guesses = {
            "neighbour": labels[fitted][nearest],
            "probe": probe.fit(means[fitted], labels[fitted]).predict(means[held]),
            "words": words.fit([terms[row] for row in fitted], labels[fitted]).predict(
                [terms[row] for row in held]
            ),
            "majority": known[commonest.argmax()],
        }
        for name, guess in guesses.items():
            right[name] += int((guess == labels[held]).sum())
    _, counts = np.unique(labels, return_counts=True)
    return {
        "vector_sentences": len(rows),
        "vector_labels": len(counts),
        **{f"vector_{name}_accuracy": count / len(rows) for name, count in right.items()},
        "vector_chance_accuracy": float(((counts / len(rows)) ** 2).sum()),
    }


def describe_vectors(figures: Mapping[str, Any]) -> str:
    """Return in words what the vectors are good for; empty where it was not measured."""
    share = {
        name: figures.get(f"vector_{name}_accuracy", math.nan)
        for name in ("neighbour", "probe", "words", "majority")
    }
    if not all(isinstance(one, float) and math.isfinite(one) for one in share.values()):
        return ""
    return (
        f"of {figures['vector_sentences']:,} held-out sentences with {figures['vector_labels']} "
        f"labels the nearest vector has the label of {share['neighbour']:.0%} "
        f"(vector_neighbour_accuracy), and a linear classifier of vectors finds that of "
        f"{share['probe']:.0%} (vector_probe_accuracy), one of words of {share['words']:.0%} "
        f"(vector_words_accuracy); {share['majority']:.0%} have the commonest"
    )


def terms_of(text: str) -> list[str]:
    """Return the words of a text in lower case; in scripts without spaces its characters."""
    terms: list[str] = []
    joined = False
    for character in text.casefold():
        joins = joins_words(character)
        if joins and joined:
            terms[-1] += character
        elif not character.isspace():
            terms.append(character)
        joined = joins
    return terms


def _as_it_is(terms: list[str]) -> list[str]:
    """Return the terms of a text that is divided already."""
    return terms


def _folds(rows: Sequence[Sentence], seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each fold the rows that are judged and those that are fitted to.

    Labels are spread evenly over the folds. A group of sentences that say the same is in one fold,
    unless groups are labels.
    """
    order = np.random.default_rng(seed).permutation(len(rows))
    units: dict[str, list[int]] = {}
    for index in order.tolist():
        row = rows[index]
        is_grouped = row.group and row.group != row.label
        units.setdefault(f"group {row.group}" if is_grouped else f"row {index}", []).append(index)
    fold_of = np.empty(len(rows), dtype=int)
    by_label = sorted(units.values(), key=lambda unit: rows[unit[0]].label)
    for number, unit in enumerate(by_label):
        fold_of[unit] = number % FOLDS
    for fold in range(FOLDS):
        held, fitted = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        if len(held) and len({rows[index].label for index in fitted.tolist()}) > 1:
            yield held, fitted
