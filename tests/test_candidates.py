"""The choice among candidates, by axes that a test makes up."""

import math

import pytest

from textvae.engine.answers import Axes
from textvae.engine.candidates import Bounds, Candidate, Choice, choose, score

SOURCE = "The dog barks."


def axes(adequacy: float = 1.0, fluency: float = 2.0, new: float = 0.5) -> Axes:
    """Axes whose novelty is `new`."""
    return Axes(adequacy, fluency, new, new)


def candidates(*found: tuple[str, Axes] | str) -> list[Candidate]:
    """Candidates that have ended, in the order they were drawn."""
    pairs = [(one, axes()) if isinstance(one, str) else one for one in found]
    return [Candidate(number, text, each) for number, (text, each) in enumerate(pairs)]


def chosen(
    found: list[Candidate], count: int, closeness: float = 0.5, **bounds: float
) -> tuple[list[str], list[str]]:
    """The texts that are chosen, and the reasons of those that are missing."""
    choice = choose(SOURCE, found, count, closeness, Bounds(**bounds))
    assert isinstance(choice, Choice)
    return [one.text for one in choice.chosen], list(choice.missing)


@pytest.mark.parametrize("copy", [SOURCE, "the dog barks", "THE DOG, barks!", "The 2 dog barks ."])
def test_the_sentence_itself_is_never_chosen_whatever_its_case_and_punctuation(copy: str) -> None:
    best = axes(adequacy=99)
    assert chosen(candidates((copy, best), "A dog barks."), 2) == (["A dog barks."], ["copy"])


def test_the_same_letters_are_chosen_once_as_the_better_of_them() -> None:
    found = candidates("A dog barks.", ("A dog barks!", axes(adequacy=2)), "It barks.")
    texts, missing = chosen(found, 3)
    assert (sorted(texts), missing) == (["A dog barks!", "It barks."], ["repeat"])


def test_texts_without_letters_differ_by_what_they_are() -> None:
    assert chosen(candidates("12", "13", " 12 "), 3) == (["12", "13"], ["repeat"])
    assert choose("12", candidates("12", "13"), 1, 0.5, Bounds()).chosen[0].text == "13"


def test_a_sentence_that_was_cut_or_is_empty_is_too_long_or_too_short() -> None:
    cut = Candidate(0, "A dog barks and", axes(adequacy=9), "length")
    assert chosen([cut, Candidate(1, " ", axes())], 2) == ([], ["length", "length"])


def test_what_breaks_a_constraint_is_not_chosen_and_where_nothing_is_left_the_budget_is() -> None:
    broken = Candidate(0, "A dog barks", axes(adequacy=9), "lock-unmet")
    good = Candidate(1, "A cat barks", axes())
    assert chosen([broken, good], 2) == (["A cat barks"], ["lock-unmet"])
    assert chosen([broken, good], 4) == (["A cat barks"], ["lock-unmet", "budget", "budget"])


@pytest.mark.parametrize(
    ("bounds", "worse", "reason"),
    [
        ({"adequacy_min": 1.0}, axes(adequacy=0.99), "not-adequate"),
        ({"fluency_max": 2.0}, axes(fluency=2.01), "not-fluent"),
        ({"novelty_min": 0.5}, axes(new=0.49), "not-novel"),
    ],
)
def test_a_candidate_at_a_bound_is_chosen_and_one_beyond_it_is_not(
    bounds: dict[str, float], worse: Axes, reason: str
) -> None:
    found = candidates(("A cat barks.", worse), "A dog barks.")
    assert chosen(found, 2, **bounds) == (["A dog barks."], [reason])
    assert sorted(chosen(found, 2)[0]) == ["A cat barks.", "A dog barks."]


def test_a_repeat_of_what_a_bound_rejects_is_rejected_by_the_bound() -> None:
    found = candidates("A dog barks.", "A dog barks!", "It barks.")
    assert chosen(found, 3, adequacy_min=1.5) == ([], ["not-adequate"] * 3)


def test_there_is_a_reason_for_each_that_is_missing_from_the_best_rejected_on() -> None:
    found = candidates(
        ("One dog.", axes(adequacy=1.0)),
        ("A dog.", axes(adequacy=2.0)),
        (SOURCE, axes(adequacy=3.0)),
        ("Dogs.", axes(adequacy=2.5, fluency=90.0)),
        ("One dog!", axes(adequacy=0.5)),
    )
    limits = {"fluency_max": 8.0}
    assert chosen(found, 2, 1.0, **limits) == (["A dog.", "One dog."], [])
    assert chosen(found, 3, 1.0, **limits)[1] == ["copy"]
    assert chosen(found, 4, 1.0, **limits)[1] == ["copy", "repeat"]
    assert chosen(found, 5, 1.0, **limits)[1] == ["copy", "repeat", "not-fluent"]


def test_closeness_weighs_adequacy_against_novelty() -> None:
    faithful, free = axes(adequacy=2.0, new=0.1), axes(adequacy=0.5, new=0.9)
    found = candidates(("Free.", free), ("Faithful.", faithful))
    assert chosen(found, 1, 1.0)[0] == ["Faithful."]
    assert chosen(found, 1, 0.0)[0] == ["Free."]
    assert score(faithful, 0.0) == score(faithful._replace(adequacy=0.0), 0.0)
    assert score(free, 1.0) == score(Axes(0.5, 2.0, 0.0, 0.0), 1.0)
    for closeness in (0.0, 0.5, 1.0):
        assert score(axes(fluency=1.0), closeness) > score(axes(fluency=1.1), closeness)


def test_of_two_alike_the_one_of_other_words_is_chosen_next() -> None:
    """Though it is a little worse; and of equals the one that was drawn first."""
    found = candidates(
        ("the dog is loud", axes(adequacy=2.0)),
        ("the dog is so loud", axes(adequacy=1.05)),
        ("it barks", axes(adequacy=1.0)),
    )
    assert chosen(found, 2)[0] == ["the dog is loud", "it barks"]
    assert chosen(found, 3)[0] == ["the dog is loud", "it barks", "the dog is so loud"]
    assert chosen(candidates("one", "two", "three"), 2)[0] == ["one", "two"]


def test_without_bounds_every_finite_axis_will_do() -> None:
    assert Bounds() == (0.0, math.inf, 0.0)
    worst = Axes(0.0, 1e6, 0.0, 0.0)
    assert chosen(candidates(("Else.", worst)), 1) == (["Else."], [])
