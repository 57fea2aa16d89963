"""Figures of paraphrases: every way to vary next to the controls, and what the axes are worth."""

from pathlib import Path

import pytest

from jobs import variations
from tests import toys
from tests.rephrasing import grouped
from textvae.config.data import StoreConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import write_span
from textvae.engine.operations.judge import JudgeRequest
from textvae.engine.start import load_engine
from textvae.errors import DataError, InputError
from textvae.store.versions import Version


@pytest.fixture(scope="module")
def store(
    rephrasing_version: tuple[Path, Version], tmp_path_factory: pytest.TempPathFactory
) -> StoreConfig:
    """The store of a version that has learned from siblings, with their text."""
    root = tmp_path_factory.mktemp("figures")
    corpus = grouped()
    sides = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}
    write_span(root / "spans", sides, {}, {})
    return StoreConfig(rephrasing_version[0], toys.MODEL, root / "spans", root / "runs")


def test_the_job_measures_every_way_to_vary_and_the_controls(store: StoreConfig) -> None:
    settings = variations.Variations(
        groups=40, members=2, candidates=4, store=store, serve=ServeConfig(threads=1)
    )
    found = variations.main(settings)
    assert found["outcome"] == "measured"
    assert found["groups"] == 40
    systems = found["systems"]
    assert set(systems) == {"drawn", "greedy", "first", "chosen", "copy", "random"}
    assert systems["copy"]["copies"] == 1.0
    assert systems["copy"]["self_bleu"] == pytest.approx(100.0)
    assert systems["random"]["retrieval_at_1"] < 0.3
    assert systems["chosen"]["copies"] == 0.0
    # The sibling is the sentence turned about, which only a version that rephrases writes.
    assert systems["greedy"]["bleu"] > systems["drawn"]["bleu"]
    assert found["axes"]["adequacy_auc"] > 0.9
    assert found["axes"]["fluency_auc"] > 0.9


def test_the_job_measures_a_search_where_steps_are_asked_for(store: StoreConfig) -> None:
    settings = variations.Variations(
        groups=10,
        members=2,
        candidates=4,
        search_steps=2,
        store=store,
        serve=ServeConfig(threads=1),
    )
    systems = variations.main(settings)["systems"]
    assert systems["search"]["copies"] == 0.0
    assert systems["search"]["self_bleu"] < systems["copy"]["self_bleu"]


def test_the_figures_are_the_same_again(store: StoreConfig) -> None:
    settings = variations.Variations(
        groups=10, members=2, candidates=3, store=store, serve=ServeConfig(threads=1)
    )
    assert variations.main(settings) == variations.main(settings)


def test_text_without_groups_is_refused_and_the_message_names_the_setting(
    store: StoreConfig,
) -> None:
    with pytest.raises(DataError, match=r"groups of 9 or more .* set data\.group_column"):
        variations.main(variations.Variations(members=9, store=store))


def test_a_candidate_is_wanted_for_each_sentence(store: StoreConfig) -> None:
    with load_engine(store.registry, toys.MODEL, None, ServeConfig(threads=1)) as engine:
        with pytest.raises(InputError, match="candidates: must be one for each of 2 sentences"):
            engine.answer(JudgeRequest(("one", "two"), ("one",)))
