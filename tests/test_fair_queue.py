"""Whose work is next: callers by what they were served, and short work before long."""

from typing import NamedTuple

from textvae.engine.caller import Caller
from textvae.engine.fair_queue import FairQueue

GREEDY, LIGHT, OTHER = Caller("greedy"), Caller("light"), Caller("other")


class Item(NamedTuple):
    """Work of a caller."""

    name: str
    tokens: float = 1.0


def queue_of(**parts: int) -> FairQueue[Item]:
    """A queue in which callers of these names have so many items each."""
    queue: FairQueue[Item] = FairQueue(lambda item: item.tokens)
    for name, count in parts.items():
        queue.add(Caller(name), [Item(name)] * count)
    return queue


def taken(queue: FairQueue[Item], most: int = 10**6) -> list[str]:
    """The names of the next items."""
    names: list[str] = []
    while queue and len(names) < most:
        names.append(queue.take().name)
    return names


def test_callers_take_turns_however_much_one_of_them_brings() -> None:
    assert taken(queue_of(greedy=5, light=2)) == [
        *["greedy", "light", "greedy", "light"],
        *["greedy"] * 3,
    ]


def test_one_who_comes_late_is_next_and_has_saved_nothing_up() -> None:
    queue = queue_of(greedy=100)
    assert taken(queue, 50) == ["greedy"] * 50
    queue.add(LIGHT, [Item("light")] * 3)
    found = taken(queue, 6)
    assert sorted(found) == ["greedy"] * 3 + ["light"] * 3
    assert found[:2].count("light") == 1


def test_one_who_leaves_and_comes_back_keeps_what_it_was_served() -> None:
    queue = queue_of(greedy=100, light=2)
    taken(queue, 4)
    queue.charge(LIGHT, 10.0)
    queue.add(LIGHT, [Item("light")] * 5)
    assert taken(queue, 10) == ["greedy"] * 10


def test_a_caller_of_twice_the_weight_is_served_twice_as_much() -> None:
    queue = queue_of(light=30)
    queue.add(Caller("heavy", 2.0), [Item("heavy")] * 30)
    found = taken(queue, 30)
    assert (found.count("heavy"), found.count("light")) == (20, 10)


def test_items_of_more_tokens_count_as_more() -> None:
    queue = queue_of(light=30)
    queue.add(GREEDY, [Item("greedy", 5.0)] * 30)
    assert taken(queue, 12).count("greedy") == 2


def test_short_work_of_a_caller_goes_before_its_long_work_and_equal_work_as_it_came() -> None:
    queue: FairQueue[Item] = FairQueue(lambda item: item.tokens)
    queue.add(OTHER, [Item("long")] * 100)
    assert taken(queue, 10) == ["long"] * 10
    for name in ("first", "second"):
        queue.add(OTHER, [Item(name)] * 3)
    assert taken(queue, 7) == ["first"] * 3 + ["second"] * 3 + ["long"]


def test_long_work_is_not_starved_by_short_work_that_goes_on_coming() -> None:
    queue: FairQueue[Item] = FairQueue(lambda item: item.tokens)
    queue.add(OTHER, [Item("long")] * 20)
    found: list[str] = []
    while "long" not in found:
        assert len(found) < 30, "starved"
        queue.add(OTHER, [Item("short")])
        found += taken(queue, 1)


def test_the_spread_says_how_far_those_who_wait_are_apart() -> None:
    queue = queue_of(greedy=10, light=10)
    assert queue.spread == 0
    queue.charge(GREEDY, 7.0)
    assert queue.spread == 7
    taken(queue, 8)
    assert queue.spread <= 1


def test_of_a_thousand_callers_each_is_next_in_its_turn() -> None:
    names = [f"caller-{number}" for number in range(1000)]
    queue = queue_of(**dict.fromkeys(names, 3))
    found = taken(queue)
    assert found[:1000] == names
    assert not queue
    assert len(found) == 3000
