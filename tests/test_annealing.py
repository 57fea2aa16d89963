"""Variations by search: edits, agreement, and chains that end at better sentences."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import toys
from tests.answers import answer_fields, beside_others, fields_of
from tests.stages import idle
from textvae.config.serve import ServeConfig
from textvae.engine.agreement import Agreement
from textvae.engine.annealing import Search
from textvae.engine.answers import Axes
from textvae.engine.axes import Sources
from textvae.engine.edits import GROWN_MAX, KEPT_MIN, Edit, edit_of, edited
from textvae.engine.engine import Engine
from textvae.engine.limits import Limits
from textvae.engine.load import LoadedVersion
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest, Variations
from textvae.engine.plan import Address, Outcome, Planning, name_sentences
from textvae.engine.prices import Work
from textvae.engine.start import load_engine
from textvae.engine.states import COLD, HOT, State, accepts, worth
from textvae.engine.variations import Draws
from textvae.errors import InputError
from textvae.options import Options
from textvae.text.sentence import letters
from textvae.text.tokenizer import REBUILD

SENTENCES = tuple(row.text for row in toys.corpus().test[:6])
SLOTS = 64
WORDS = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="module")
def engine(registry: Path) -> Iterator[Engine]:
    """An engine of the toy version, which has learned from no groups."""
    config = ServeConfig(threads=1, waiting_rows_max=4096, slots=SLOTS)
    with load_engine(registry, toys.MODEL, None, config) as running:
        yield running


class Ends:
    """A request whose answer is the states that a search ends at, for each sentence."""

    seed, first_index, rows = 0, 0, 1

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def check(self, limits: Limits) -> None:
        """Take every request."""

    @property
    def work(self) -> Work:
        """As many rows as it says."""
        return Work("ends", 0, self.rows, self.rows)

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[Any]:
        """Search with three chains for each sentence."""
        ids = yield from loaded.tokens(name_sentences(SENTENCES), limits.tokens_max)
        posteriors = yield from loaded.encoding(ids)
        nats = yield from loaded.language_model_nats(ids)
        sources = Sources(SENTENCES, ids, posteriors.mean, nats)
        # Starts of a temperature and at a radius that leave something to find.
        free = [None] * len(ids)
        how = (posteriors, free, REBUILD, Address(0, 0), Options(2.0))
        draws = Draws(loaded, limits, owner, *how)
        states = yield from Search(draws, sources, 3.0, 3, self.steps, 0.5).run()
        return Outcome(states, 0)


def values(engine: Engine, steps: int) -> list[float]:
    """What the best state of each sentence is worth after so many steps."""
    return [max(state.value for state in states) for states in engine.answer(Ends(steps))]


def texts(variations: Variations) -> list[str]:
    """The sentences of variations."""
    return [one.sentence.text for one in variations.variations]


def test_an_edit_removes_moves_or_replaces_a_few_words_and_keeps_the_others() -> None:
    numbers = np.random.default_rng(0).random((2000, 4)).tolist()
    kinds = set()
    for each in numbers:
        edit = edit_of(WORDS, each)
        kept = [*edit.before, *edit.after]
        assert set(kept) <= set(WORDS)
        assert len(set(kept)) == len(kept)
        if edit.grown is None:
            assert (edit.before, edit.after) == (tuple(WORDS[: len(edit.before)]), ())
            kinds.add("end")
        elif edit.grown:
            assert kept == sorted(kept)
            assert edit.grown <= GROWN_MAX
            kinds.add("inserted" if len(kept) == len(WORDS) else "replaced")
        else:
            is_moved = len(kept) == len(WORDS)
            assert is_moved or (kept == sorted(kept) and len(kept) >= KEPT_MIN)
            kinds.add("moved" if is_moved else "removed")
    assert kinds == {"end", "inserted", "replaced", "moved", "removed"}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_an_edit_of_a_short_sentence_leaves_words_or_has_them_written(count: int) -> None:
    for each in np.random.default_rng(1).random((500, 4)).tolist():
        edit = edit_of(WORDS[:count], each)
        assert edit.grown != 0 or len(edit.before) + len(edit.after) >= min(count, KEPT_MIN)


def test_an_edited_sentence_has_as_many_new_words_as_were_wanted() -> None:
    assert edited(Edit(("a", "b"), 0, ("c",)), "") == "a b c"
    assert edited(Edit(("a",), 2, ("d",)), "a x y z") == "a x y d"
    assert edited(Edit(("a",), 2, ("d",)), "a x") == "a x d"
    assert edited(Edit(("a",), None, ()), "a x y z") == "a x y z"
    assert edited(Edit(("a",), 1, ("d",)), "as x y") == "as x d"


def test_agreement_is_the_mean_share_of_n_grams_in_common_with_the_draws() -> None:
    drawn = Agreement(["a b c d", "a b c d", "e f"])
    assert Agreement(["a b c d"]).share("A B c d") == 1.0
    assert Agreement(["a b c d"]).share("e f g h") < 0.02
    assert drawn.share("a b c d") > drawn.share("a b c x") > drawn.share("e f") > 0.3
    repeated = Agreement(["a b"])
    assert repeated.share("a a b") < repeated.share("a b") == 1.0
    assert drawn.share("") < 0.05


def test_a_chain_takes_what_is_worth_more_and_seldom_what_is_worth_less() -> None:
    low, high = (State("a", (5,), Axes(0, 0, 0, 0), value) for value in (1.0, 2.0))
    nothing = low._replace(value=-math.inf)
    assert accepts(low, high, COLD, 0.999)
    assert accepts(nothing, low, COLD, 0.999)
    assert accepts(nothing, nothing, COLD, 0.999)
    assert not accepts(low, nothing, HOT, 0.0)
    chance = math.exp(-1 / HOT)
    assert accepts(high, low, HOT, chance - 0.01)
    assert not accepts(high, low, HOT, chance + 0.01)
    assert not accepts(high, low, COLD, 0.01)


def test_a_state_is_worth_more_that_is_adequate_agreed_on_fluent_or_short() -> None:
    base: dict[str, Any] = {"agreement": 0.5, "length": 1.0, "closeness": 0.5}
    axes = Axes(1.0, 2.0, 0.5, 0.5)
    value = worth(axes, **base)
    assert worth(axes._replace(adequacy=2.0), **base) > value
    assert worth(axes._replace(fluency=1.0), **base) > value
    assert worth(axes._replace(new_bigrams=1.0), **base) > value
    assert worth(axes._replace(new_words=1.0), **base) < value
    assert worth(axes, **base | {"agreement": 1.0}) > value
    assert worth(axes, **base | {"length": 0.5}) > value
    free, faithful = axes._replace(new_bigrams=1.0), axes._replace(adequacy=3.0)
    assert worth(free, **base | {"closeness": 0.0}) > worth(faithful, **base | {"closeness": 0.0})
    assert worth(free, **base | {"closeness": 1.0}) < worth(faithful, **base | {"closeness": 1.0})


def test_a_search_of_more_steps_finds_what_is_worth_more(engine: Engine) -> None:
    few, many = values(engine, 1), values(engine, 12)
    assert np.mean(many) > np.mean(few) + 0.1
    assert all(later >= earlier for earlier, later in zip(few, many, strict=True))


def test_a_search_needs_no_groups_and_returns_no_copy_and_no_repeat(engine: Engine) -> None:
    found = engine.answer(
        ParaphraseRequest(SENTENCES, 3, method="search", candidates=4, search_steps=4, seed=1)
    )
    assert found.method == "search"
    for sentence, each in zip(SENTENCES, found.results, strict=True):
        own = list(map(letters, texts(each)))
        assert len({letters(sentence), *own}) == 1 + len(own)
        assert len(own) + len(each.missing) == 3
        assert each.source_fluency > 0
        assert all(one.axes and one.sentence.ended for one in each.variations)
    assert sum(len(each.variations) for each in found.results) > 12


def test_the_latent_of_a_searched_variation_is_its_own_posterior_mean(engine: Engine) -> None:
    request = ParaphraseRequest(SENTENCES, 1, method="search", search_steps=3, seed=2)
    found = [one.variations[0] for one in engine.answer(request).results]
    own = engine.answer(EncodeRequest(tuple(one.sentence.text for one in found))).mean
    source = engine.answer(EncodeRequest(SENTENCES))
    judge = engine._loaded
    for one, latent, mean, logvar in zip(found, own, source.mean, source.logvar, strict=True):
        assert np.array_equal(one.latent, latent)
        shift = (latent - mean) / np.exp(0.5 * logvar)
        assert one.distance == pytest.approx(float(np.sqrt(np.mean(shift**2))), rel=1e-5)
        assert one.sentence.log_prob < 0
        assert one.sentence.tokens == len(judge.tokenizer.encode([one.sentence.text])[0])


def test_a_variation_keeps_the_limit_of_tokens_of_the_request(engine: Engine) -> None:
    short = Options(tokens_max=4)
    request = ParaphraseRequest(SENTENCES, 2, options=short, method="search", search_steps=8)
    for each in engine.answer(request).results:
        assert all(one.sentence.tokens <= 4 for one in each.variations)
        assert len(each.variations) + len(each.missing) == 2


def test_a_search_has_the_same_bytes_alone_and_beside_32_others(engine: Engine) -> None:
    how: dict[str, Any] = {"method": "search", "candidates": 8, "search_steps": 5}
    request = ParaphraseRequest(SENTENCES[:3], 2, options=Options(0.7), seed=7, **how)
    shared = beside_others(engine, request)
    assert shared.batch_rows > 32, "the request ran alone; the test shows nothing"
    assert fields_of(shared) == answer_fields(engine, request)
    other = answer_fields(engine, ParaphraseRequest(SENTENCES[:3], 2, seed=8, **how))
    assert other["results"] != fields_of(shared)["results"]


def test_a_search_cut_in_parts_is_the_search(engine: Engine) -> None:
    ask: dict[str, Any] = {"method": "search", "candidates": 4, "search_steps": 5, "seed": 9}
    whole = engine.answer(ParaphraseRequest(SENTENCES, 2, **ask)).results
    rest = engine.answer(ParaphraseRequest(SENTENCES[4:], 2, first_index=4, **ask)).results
    assert list(map(texts, rest)) == list(map(texts, whole[4:]))
    assert [each.latents.tolist() for each in rest] == [each.latents.tolist() for each in whole[4:]]


def test_a_cancelled_search_frees_its_rows(engine: Engine) -> None:
    idle(engine, SLOTS)
    waiting = engine.submit(ParaphraseRequest(SENTENCES, 4, method="search", search_steps=100))
    while not sum(engine.load()[:2]):
        time.sleep(0.001)
    assert waiting.cancel(), "it was answered before it could be cancelled"
    idle(engine, SLOTS)
    assert answer_fields(engine, ParaphraseRequest(SENTENCES[:1], 1, seed=1))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"search_steps": 101}, "search_steps: must be 0 to 100, got 101"),
        ({"search_steps": -1}, "search_steps: must be 0 to 100, got -1"),
        (
            {"search_steps": 1, "method": "draw"},
            "search_steps: must be 0 without method search, got 1; leave it unset",
        ),
        (
            {"candidates": 1},
            "candidates: must not be 1 with method search, whose chains are judged by each other; "
            "leave it unset",
        ),
        (
            {"options": Options(beam=2)},
            "beam: must be 0 with method search, which draws; leave it unset",
        ),
    ],
)
def test_what_a_search_cannot_is_refused_with_the_field_the_limit_and_the_fix(
    fields: dict[str, Any], problem: str, engine: Engine
) -> None:
    request = ParaphraseRequest(SENTENCES[:1], 1, **{"method": "search", **fields})
    with pytest.raises(InputError) as caught:
        engine.answer(request)
    assert str(caught.value) == problem


def test_the_chains_of_a_search_are_its_rows(engine: Engine) -> None:
    most = engine.limits.rows_max
    assert ParaphraseRequest(("a",) * 3, 2, method="search").rows == 3 * 2 * 16
    with pytest.raises(InputError, match=f"and 64 candidates must be at most {most}, got"):
        engine.answer(
            ParaphraseRequest(("a",) * (most // 64 + 1), 1, method="search", candidates=64)
        )


def test_a_search_holds_locks_and_says_where_they_stand(engine: Engine) -> None:
    slotted = tuple(f"{one} in {{city}}" for one in SENTENCES)
    found = engine.answer(ParaphraseRequest(slotted, 2, method="search", search_steps=6, seed=1))
    for each in found.results:
        assert len(each.variations) + len(each.missing) == 2
        for one in each.variations:
            assert [lock.text for lock in one.locks] == ["{city}"]
            assert one.sentence.text[one.locks[0].start : one.locks[0].end] == "{city}"
    assert sum(len(each.variations) for each in found.results) > 8
