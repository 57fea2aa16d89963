"""Whether variations keep labels and numbers: the classifier, the figures and the job."""

from pathlib import Path

import pytest

from jobs import intents
from tests import toys
from tests.rephrasing import grouped, turned
from textvae.config.data import StoreConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import write_span
from textvae.corpus.toy_grammar import parse, sample
from textvae.errors import DataError
from textvae.evaluation.intents import LabelJudge, draw_sources, keeps_numbers, label_figures
from textvae.store.versions import Version
from textvae.text.sentence import Sentence, letters


def with_tense(row: Sentence) -> Sentence:
    """The sentence, labelled with its tense."""
    factors = parse(row.text) or parse(turned(row.text))
    assert factors is not None
    return row._replace(label=factors.tense)


@pytest.fixture(scope="module")
def store(
    rephrasing_version: tuple[Path, Version], tmp_path_factory: pytest.TempPathFactory
) -> StoreConfig:
    """The store of a version that has learned from siblings, with their text and its labels."""
    root, corpus = tmp_path_factory.mktemp("intents"), grouped()
    sides = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}
    labelled = {side: list(map(with_tense, rows)) for side, rows in sides.items()}
    write_span(root / "spans", labelled, {}, {})
    return StoreConfig(rephrasing_version[0], toys.MODEL, root / "spans", root / "runs")


def settings(store: StoreConfig) -> intents.Intents:
    return intents.Intents(
        sources=30, count=1, candidates=4, store=store, serve=ServeConfig(threads=1)
    )


def test_the_job_measures_labels_of_variations_and_controls(store: StoreConfig) -> None:
    found = intents.main(settings(store))
    assert (found["outcome"], found["sources"]) == ("measured", 30)
    assert found["judge_accuracy"] > 0.95
    systems = found["systems"]
    assert set(systems) == {"drawn", "first", "chosen", "locked", "copy", "random"}
    assert systems["copy"]["copies"] == systems["copy"]["numbers_share"] == 1.0
    assert systems["copy"]["new_words"] == 0.0
    assert systems["copy"]["label_share"] > 0.9
    assert systems["random"]["label_share"] < 0.7
    # The sibling is the sentence turned about, which only a version that rephrases writes.
    assert systems["chosen"]["label_share"] > 0.8
    assert systems["chosen"]["given_share"] > 0.9
    assert intents.main(settings(store)) == found


def test_figures_are_shares_of_what_was_given() -> None:
    rows = [Sentence(f"{row.text} at {number}", row.label) for number, row in enumerate(ROWS)]
    judge = LabelJudge(rows)
    past, future = (next(row for row in rows if row.label == one) for one in ("past", "future"))
    outputs = [[past.text, future.text, "The {name} wrote at 9."], []]
    figures = label_figures(outputs, [past, future], judge, {letters(future.text)}, 2)
    assert figures.given_share == 0.75
    assert figures.label_share == pytest.approx(2 / 3)
    assert figures.numbers_share == pytest.approx(1 / 3)
    assert figures.learned_share == figures.copies == pytest.approx(1 / 3)
    assert figures.distinct_share == 1.0


ROWS = sample(300, seed=0)


@pytest.mark.parametrize(
    ("source", "text", "kept"),
    [
        ("I paid 4.50 twice", "twice I paid 4.50!", True),
        ("I paid 4.50 twice", "I paid 4 twice, not 50", False),
        ("from 12 to 12", "from 12 on", False),
        ("where is {order_id}?", "find {order_id} please", True),
        ("where is {order_id}?", "find {name} please", False),
        ("no number", "7 numbers", True),
    ],
)
def test_numbers_and_slots_are_kept_whole_and_as_often(source: str, text: str, kept: bool) -> None:
    assert keeps_numbers(source, text) is kept


def test_text_without_labels_is_refused_and_the_message_names_the_setting() -> None:
    plain = [Sentence(row.text) for row in ROWS]
    with pytest.raises(DataError, match=r"at least 2 different labels.*got 0; set data\.label_col"):
        LabelJudge(plain)
    with pytest.raises(DataError, match=r"2 sentences with a label are needed, got 0"):
        draw_sources(plain, 10, 0)


def test_a_smaller_draw_is_the_beginning_of_a_larger_one() -> None:
    assert draw_sources(ROWS, 5, 1) == draw_sources(ROWS, 50, 1)[:5] != draw_sources(ROWS, 5, 2)
