"""Variations under constraints, of a version that has learned from siblings, served."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import toys
from tests.answers import answer_fields, beside_others, fields_of
from tests.rephrasing import grouped
from tests.serving import Server, serving
from textvae.client import Client, Constraints, SentenceSpan
from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.start import load_engine
from textvae.errors import InputError
from textvae.options import Options
from textvae.store.versions import Version
from textvae.text.words import final_punctuation, stands_alone

SENTENCES = tuple(row.text for row in grouped().test[:12])
SLOTTED = tuple(
    f"{sentence} for {{customer_{n}}} at {n}:30" for n, sentence in enumerate(SENTENCES)
)
EVERY = Constraints(
    numbers=True,
    patterns=("for",),
    banned=("The",),
    characters_max=120,
    keep_final_punctuation=True,
)


@pytest.fixture(scope="module")
def engine(rephrasing_version: tuple[Path, Version]) -> Iterator[Engine]:
    config = ServeConfig(threads=1, waiting_rows_max=4096)
    with load_engine(rephrasing_version[0], toys.MODEL, None, config) as running:
        yield running


@pytest.fixture(scope="module")
def server(rephrasing_version: tuple[Path, Version]) -> Iterator[Server]:
    with serving(rephrasing_version[0]) as running:
        yield running


@pytest.mark.parametrize("method", ["rephrase", "draw"])
@pytest.mark.parametrize("candidates", [1, 3])
@pytest.mark.parametrize("options", [Options(), Options(temperature=0.8)])
def test_every_lock_stands_in_every_variation_and_there_are_n_or_reasons(
    engine: Engine, method: str, candidates: int, options: Options
) -> None:
    request = ParaphraseRequest(
        SLOTTED,
        3,
        options=options,
        method=method,  # type: ignore[arg-type]
        candidates=candidates,
        constraints=EVERY,
        seed=1,
    )
    found = 0
    for number, each in enumerate(engine.answer(request).results):
        assert len(each.variations) + len(each.missing) == 3
        for one in each.variations:
            text = one.sentence.text
            assert [lock.text for lock in one.locks] == [
                "for",
                f"{{customer_{number}}}",
                f"{number}:30",
            ]
            for lock in one.locks:
                assert text[lock.start : lock.end] == lock.text
                assert stands_alone(text, lock.start, lock.end)
            assert "the" not in text.casefold().split()
            assert len(text) <= 120
            assert not final_punctuation(text)
            found += 1
    assert found > 30


def test_names_in_braces_are_kept_unless_they_are_set_free(engine: Engine) -> None:
    kept = engine.answer(ParaphraseRequest(SLOTTED[:4], 2, seed=1))
    free = engine.answer(
        ParaphraseRequest(SLOTTED[:4], 2, constraints=Constraints(slots=False), seed=1)
    )
    assert all(
        "{customer_" in one.sentence.text for each in kept.results for one in each.variations
    )
    assert all(not one.locks for each in free.results for one in each.variations)
    assert not any("{customer_" in one.sentence.text for each in free.results for one in each[0])


def test_locked_variations_are_the_same_in_any_company(engine: Engine) -> None:
    request = ParaphraseRequest(
        SLOTTED[:5], 2, options=Options(temperature=0.8), constraints=EVERY, seed=4
    )
    alone = answer_fields(engine, request)
    assert fields_of(beside_others(engine, request)) == alone


REFUSED = {
    "words: must be 0 to 100 words, got 101": Constraints(words=("a",) * 101),
    "banned[0]: must not be empty; send at least": Constraints(banned=(" ",)),
    "patterns[1]: must be at most 1000 characters": Constraints(patterns=("a", "b" * 1001)),
    "patterns[0]: must be a regular expression: invalid perl operator: (?=; write it in RE2's "
    "syntax, which has no look-around and no back-references": Constraints(patterns=("(?=a)",)),
    "spans[0].sentence: must be 0 to 0, got 1": Constraints(spans=(SentenceSpan(1, 0, 1),)),
    "characters_min: must be 0 to 1000, got -1": Constraints(characters_min=-1),
    "characters_max: must be 0 to 1000, got 1001": Constraints(characters_max=1001),
    "characters_max: must be at least characters_min, 9": Constraints(
        characters_min=9, characters_max=8
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_constraints_outside_their_limits_are_refused_before_anything_runs(
    words: str, engine: Engine
) -> None:
    with pytest.raises(InputError) as caught:
        engine.submit(ParaphraseRequest(SENTENCES[:1], 1, constraints=REFUSED[words]))
    assert str(caught.value).startswith(f"constraints.{words}")


def test_a_beam_is_refused_where_a_sentence_has_locks(engine: Engine) -> None:
    beam = Options(beam=2)
    with pytest.raises(InputError, match=r"^options.beam: must be 0 with constraints, which sente"):
        engine.answer(ParaphraseRequest((SENTENCES[0], SLOTTED[0]), 1, options=beam))
    free = Constraints(slots=False)
    engine.answer(ParaphraseRequest(SLOTTED[:1], 1, options=beam, constraints=free))


def test_spans_count_from_the_first_sentence_of_a_call_however_it_is_cut(server: Server) -> None:
    """Nine sentences of 64 candidates and 100 variations are sent in more than one request."""
    words = [sentence.split()[1] for sentence in SENTENCES[:9]]
    spans = tuple(
        SentenceSpan(number, sentence.index(word), sentence.index(word) + len(word))
        for number, (sentence, word) in enumerate(zip(SENTENCES, words, strict=False))
    )
    with Client(server.address, 300.0) as client:
        found = client.paraphrase(
            SENTENCES[:9], 16, candidates=64, constraints=Constraints(spans=spans), seed=2
        )
        for word, each in zip(words, found.variations, strict=True):
            assert each.sentences
            for sentence, locks in zip(each.sentences, each.locks, strict=True):
                assert [lock.text for lock in locks] == [word]
                assert sentence.text[locks[0].start : locks[0].end] == word
        with pytest.raises(InputError, match=r"constraints.spans\[0\].sentence: must be 0 to 8"):
            client.paraphrase(
                SENTENCES[:9], 1, constraints=Constraints(spans=(SentenceSpan(9, 0, 1),))
            )


def test_further_rounds_draw_from_wider_until_there_are_enough(engine: Engine) -> None:
    """Where nearly all candidates are one sentence, a single round of eight gives no four."""
    narrow = ParaphraseRequest(SENTENCES, 4, 0.8, candidates=2, seed=3, method="draw")
    found = engine.answer(narrow).results
    distances = [one.distance for each in found for one in each.variations]
    assert max(distances) > 1.2 * 0.8
    assert any(0 < len(each.missing) < 4 for each in found)
