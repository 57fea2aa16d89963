"""Whose work is next: callers by what they were served, and short work before long."""

from typing import NamedTuple

from textvae.engine.caller import Caller
from textvae.engine.fair_queue import FairQueue

GREEDY, LIGHT, OTHER = Caller("greedy"), Caller("light"), Caller("other")


class Item(NamedTuple):
    """Work of a caller."""

    name: str
    tokens: float = 1.0


def queue_of(**counts: int) -> FairQueue[Item]:
    """A queue in which callers of these names have one part of so many items each."""
    queue: FairQueue[Item] = FairQueue(lambda item: item.tokens)
    for name, count in counts.items():
        queue.add(Caller(name), [Item(name)] * count)
    return queue


def add_singly(queue: FairQueue[Item], caller: Caller, count: int, tokens: float = 1.0) -> None:
    """Let a caller bring as many parts of one item each."""
    for _ in range(count):
        queue.add(caller, [Item(caller.name, tokens)])


def taken(queue: FairQueue[Item], most: int = 10**6) -> list[str]:
    """The names of the next items."""
    names: list[str] = []
    while queue and len(names) < most:
        names.append(queue.take().name)
    return names


def test_callers_take_turns_however_much_one_of_them_brings() -> None:
    queue = queue_of()
    add_singly(queue, GREEDY, 5)
    add_singly(queue, LIGHT, 2)
    assert taken(queue) == ["greedy", "light", "greedy", "light", *["greedy"] * 3]


def test_equal_parts_of_callers_are_served_one_after_another_so_that_each_ends_early() -> None:
    assert taken(queue_of(one=3, two=3, three=3)) == [*["one"] * 3, *["two"] * 3, *["three"] * 3]


def test_one_who_comes_late_with_little_is_next() -> None:
    queue = queue_of(greedy=100)
    assert taken(queue, 50) == ["greedy"] * 50
    queue.add(LIGHT, [Item("light")] * 3)
    assert taken(queue, 6) == ["light"] * 3 + ["greedy"] * 3


def test_one_who_comes_late_has_saved_nothing_up() -> None:
    queue = queue_of()
    add_singly(queue, GREEDY, 100)
    taken(queue, 50)
    add_singly(queue, LIGHT, 20)
    found = taken(queue, 20)
    assert (found.count("greedy"), found.count("light")) == (10, 10)


def test_one_who_leaves_and_comes_back_keeps_what_it_was_served() -> None:
    queue = queue_of()
    add_singly(queue, GREEDY, 100)
    add_singly(queue, LIGHT, 2)
    taken(queue, 4)
    queue.charge(LIGHT, 10.0)
    add_singly(queue, LIGHT, 5)
    assert taken(queue, 10) == ["greedy"] * 10


def test_a_caller_of_twice_the_weight_is_served_twice_as_much() -> None:
    queue = queue_of()
    add_singly(queue, LIGHT, 30)
    add_singly(queue, Caller("heavy", 2.0), 30)
    found = taken(queue, 30)
    assert (found.count("heavy"), found.count("light")) == (20, 10)


def test_items_of_more_tokens_count_as_more() -> None:
    queue = queue_of()
    add_singly(queue, LIGHT, 30)
    add_singly(queue, GREEDY, 30, 5.0)
    assert taken(queue, 12).count("greedy") == 2


def test_tokens_beyond_those_expected_count_once_the_part_has_ended() -> None:
    """Not in its middle, where another part would come between."""
    queue = queue_of(greedy=3)
    queue.add(GREEDY, [Item("greedy")] * 4)
    assert taken(queue, 1) == ["greedy"]
    queue.charge(GREEDY, 10.0)
    queue.add(LIGHT, [Item("light")] * 9)
    assert taken(queue) == [*["greedy"] * 2, *["light"] * 9, *["greedy"] * 4]


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
    taken(queue, 4)
    assert queue.spread == 4
    taken(queue)
    assert queue.spread == 0


def test_of_a_thousand_callers_each_is_next_in_its_turn() -> None:
    names = [f"caller-{number}" for number in range(1000)]
    queue = queue_of(**dict.fromkeys(names, 3))
    assert taken(queue) == [name for name in names for _ in range(3)]
    assert not queue


def test_a_cost_that_is_learned_meanwhile_changes_no_order() -> None:
    cost = 1.0
    queue: FairQueue[Item] = FairQueue(lambda _: cost)
    queue.add(GREEDY, [Item("greedy")] * 4)
    taken(queue, 1)
    cost = 0.1
    queue.add(OTHER, [Item("other")] * 40)
    assert taken(queue, 3) == ["greedy"] * 3
