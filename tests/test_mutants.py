"""The mutants that the drill makes of a source, and how they are drawn and judged."""

import ast
from pathlib import Path

import pytest

from tests.drills import mutant_rooms, mutants
from tests.drills.forked_tests import Asked, Ended, call_all
from tests.drills.mutant_rooms import ROOMS, draw_mutants, possible, shares
from tests.drills.source_mutants import mutants_of


def becomes(source: str) -> list[str]:
    """What the mutants of a source make of the lines that they change."""
    return [mutant.becomes for mutant in mutants_of("a.py", source.encode())]


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("x = a + b", ["x = a - b"]),
        ("x = (a) * (b)", ["x = (a) / (b)"]),
        ("x = a**b", ["x = a*b"]),
        ("x = a // b % c", ["x = a * b % c", "x = a // b // c"]),
        ("x = a < b <= c", ["x = a <= b <= c", "x = a < b < c"]),
        ("x = a is not None", ["x = a is None"]),
        ("x = a not  in b", ["x = a in b"]),
        ("x = a and b or c", ["x = a or b or c", "x = a and b and c"]),
        ("x = not (a)", ["x = (a)"]),
        ("x = -a", ["x = a"]),
        ("x = 0, 1, 7, 0.5, True", None),
        ("x = a if b else c", ["x = a if not (b) else c"]),
        ("x = a if b == c else d", ["x = a if b != c else d"]),
        ("x = [a for a in b if a]", ["x = [a for a in b if not (a)]"]),
        ("a.b = c", ["pass"]),
        ("f(a)", ["pass"]),
        ("x -= a", ["pass", "x += a"]),
        ("raise Error(f'{1 + 2} words')", ["pass"]),
        ("def f(a: int = 3):\n    return a", ["def f(a: int = 4):", "return None"]),
        ("while a:\n    break", ["while not (a):", "continue"]),
    ],
)
def test_each_node_is_changed_by_itself(source: str, made: list[str] | None) -> None:
    numbers = [
        "x = 1, 1, 7, 0.5, True",
        "x = 0, 0, 7, 0.5, True",
        "x = 0, 1, 8, 0.5, True",
        "x = 0, 1, 7, 1.5, True",
        "x = 0, 1, 7, 0.5, False",
    ]
    assert becomes(source) == (made or numbers)


def test_an_operator_is_found_behind_brackets_comments_and_line_ends() -> None:
    source = b"x = (\n    (a)  # a + b\n    + (b)\n)\n"
    (mutant,) = mutants_of("a.py", source)
    assert mutant.within(source) == b"x = (\n    (a)  # a + b\n    - (b)\n)\n"
    assert (mutant.number, mutant.column) == (3, 5)
    assert (mutant.line, mutant.becomes) == ("+ (b)", "- (b)")


@pytest.mark.parametrize(
    "source",
    [
        '"""A module of 1 + 1."""',
        "import a, b",
        "assert a < 1, 'not so'",
        "log.info('%d', a + 1)",
        "x: Literal[1] | None",
        "def f(a: Annotated[int, 1 + 1]) -> Annotated[int, 3]: ...",
        "@cache(size=3)\ndef f():\n    '''The 1.'''",
        "class A(Base[3]):\n    '''The 1.'''\n    a: Vector[3]\n    '''The 2.'''",
        "x = f'{a + 1:3d}'",
        "for a, b in zip(c, d, strict=True):\n    x = a",
        "Kind = int | str",
        "__all__ = ['a'] * 2",
    ],
)
def test_what_no_test_need_judge_is_left_alone(source: str) -> None:
    assert becomes(source) == []


def test_a_mutant_can_be_read_and_is_another_program() -> None:
    for _, mutant in draw_mutants(list(ROOMS), 60, seed=1):
        source = (mutant_rooms.ROOT / mutant.file).read_bytes()
        program, mutated = ast.parse(source), ast.parse(mutant.within(source))
        assert ast.dump(mutated) != ast.dump(program), mutant


def test_mutants_of_equal_lines_are_distinguished() -> None:
    first, second = mutants_of("a.py", b"x = a + b\nx = a + b\n")
    assert (first.number, second.number) == (1, 2)
    assert first.rank(0) != second.rank(0)


def test_every_room_has_its_share_and_no_fewer_than_30() -> None:
    given = shares({"large": 700, "middle": 400, "small": 90}, 300)
    assert sum(given.values()) == 300
    assert given["small"] == 30
    assert given["large"] > given["middle"] > 90
    assert shares({"large": 700, "tiny": 5}, 300) == {"large": 295, "tiny": 5}


def test_the_same_seed_draws_the_same_also_where_other_lines_are_new() -> None:
    source = b"".join(b"x%d = a%d + %d\n" % (n, n, n) for n in range(50))
    later = b"# A line.\n\n" + source
    ranks = [
        sorted((one.rank(0), one.becomes) for one in mutants_of(name, text))
        for name, text in (("a.py", source), ("b.py", later))
    ]
    assert ranks[0] == ranks[1]
    assert draw_mutants(["latent"], 20, 0) == draw_mutants(["latent"], 20, 0)
    assert draw_mutants(["latent"], 20, 0) != draw_mutants(["latent"], 20, 1)


def test_the_judges_of_every_room_are_there() -> None:
    for row in ROOMS.values():
        for name in (row.tests + " " + row.slow).split():
            assert (mutant_rooms.ROOT / f"tests/test_{name}.py").is_file(), name


def test_calls_end_with_their_code_or_their_time(tmp_path: Path) -> None:
    """Each in a tree of its own, whose code is what is imported."""
    trees = []
    for name, body in (("well", "pass"), ("ill", "assert False"), ("slow", "time.sleep(60)")):
        tree = tmp_path / name / "tree"
        tree.mkdir(parents=True)
        (tree / "theirs.py").write_text(f"NAME = {name!r}\n")
        lines = f"import time\nimport theirs\n\ndef test_it():\n    {body}\n"
        (tree / "test_it.py").write_text(f"{lines}    assert theirs.NAME == {name!r}\n")
        trees.append(tree)
    ended: dict[str, Ended[int]] = {}

    def end(one: Ended[int]) -> None:
        ended[one.tree.parent.name] = one

    asked = [Asked(number, ("test_it.py",), 5.0) for number in range(3)]
    call_all(asked, trees, ["-q", "-p", "no:cacheprovider"], lambda *_: None, end)
    assert ended["well"].code == 0, ended["well"].said
    assert ended["ill"].code == 1
    assert ended["ill"].failed_test == "test_it.py::test_it"
    assert ended["slow"].timed_out
    assert not ended["well"].timed_out


def test_every_reason_is_that_of_a_mutant() -> None:
    """So none outlives the line that it is about."""
    rooms = [possible(room) for room in ROOMS]
    known = {(Path(one.file).name, one.line, one.becomes) for some in rooms for one in some}
    assert set(mutants.reasons()) <= known
    assert all(mutants.reasons().values())
