"""The laws of the house, read off the source: the table below is all there is to change."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Room(NamedTuple):
    """One row of the house: a room knows the rooms of lower floors, and everyone knows `errors`."""

    floor: int
    uses: str = ""
    """The guarded packages that it may import."""
    never: str = ""
    """Rooms of lower floors that it must not know all the same."""


HOUSE = {
    "errors": Room(0),
    "progress": Room(0),
    "ranges": Room(0),
    "files": Room(0),
    "installation": Room(0),
    "native": Room(0),
    "pipes": Room(0),
    "proxies": Room(0),
    "threads": Room(0),
    "v1": Room(0, uses="protobuf"),
    "config": Room(1, never="files"),
    "options": Room(1, never="files"),
    "locks": Room(1),
    "sealed": Room(1),
    "latent": Room(1, uses="torch", never="files locks v1"),
    "presets": Room(2, never="files locks v1"),
    "text": Room(2, never="files locks sealed v1"),
    "model": Room(2, uses="torch", never="files locks sealed v1"),
    "wire": Room(2, uses="protobuf"),
    "version_files": Room(3, never="files locks sealed v1"),
    "settings": Room(3, never="files locks v1"),
    "corpus": Room(3, never="options v1"),
    "client": Room(3, uses="protobuf", never="locks sealed presets text model latent"),
    "decode": Room(4, uses="torch", never="text corpus files locks client v1"),
    "store": Room(4, never="client v1"),
    "training": Room(4, uses="torch", never="options client v1"),
    "cli": Room(4, never="locks sealed text model latent v1"),
    "engine": Room(5, uses="torch", never="corpus training client v1"),
    "bulk": Room(6, never="client v1"),
    "evaluation": Room(6, uses="torch", never="client v1"),
    "serve": Room(6, uses="protobuf server", never="corpus training client"),
    "release": Room(7, uses="torch", never="v1"),
    "reporting": Room(8, uses="torch", never="client v1"),
    "experiments": Room(9, uses="torch", never="v1"),
    "benchmarks": Room(9, uses="torch", never="v1"),
    "jobs": Room(10, uses="torch", never="v1"),
}
"""Every room of textvae/, and jobs/ above them all. Nothing knows a room of its own floor."""

STRANGERS = ("training", "serve")  # no module may reach both

GUARDED = {
    "torch": "torch",
    "protobuf": "google grpc grpc_status",
    "server": "grpc_health grpc_reflection prometheus_client",
}
"""Packages of these rooms alone."""
NOT_FOR_CLIENTS = (
    "torch sentencepiece safetensors filelock tyro prometheus_client sklearn scipy sacrebleu "
    "matplotlib pyarrow tensorboard mlflow"
)
"""What `import textvae`, its client and its terminal must not load, nor need to be installed."""

WRITES_OF_OS = "os.replace os.rename os.renames os.link os.symlink os.fsync os.fdatasync"
WRITES_OF_PATH = "write_text write_bytes symlink_to hardlink_to rename touch"
"""Only files.py calls these, opens a file for writing, or imports shutil or tempfile."""

MAKES_A_VALUE = (
    "dataclass field getLogger compile uint64 no_grad maketrans range fromkeys chr isspace arg "
    "len dumps wraps frozenset tuple dict sorted namedtuple blocking asynchronous exists "
    "job_command"
)
"""Calls that may stand at module level, next to those of a class: they act on nothing."""
ENDS_A_PROGRAM = "check_start"  # in words, where a package is missing; may stand there too

FILE_LINES_MAX, FUNCTION_LINES_MAX = 300, 50
CHAIN_MODULES_MAX = 12  # of the longest chain of imports, the ends counted


def modules() -> dict[str, ast.Module]:
    """The syntax of every module of textvae and jobs that is written by hand, by dotted name."""
    found = {}
    for path in sorted([*ROOT.glob("textvae/**/*.py"), *ROOT.glob("jobs/**/*.py")]):
        if not path.name.endswith(("_pb2.py", "_pb2_grpc.py")):
            found[dotted(path)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def dotted(path: Path) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room that a module of ours stands in; the package textvae itself is none."""
    return "jobs" if module.startswith("jobs") else ".".join(module.split(".")[1:2])


def imports(tree: ast.Module) -> Iterator[str]:
    """The dotted name of everything that a module imports, also inside functions.

    Imports are absolute but for those of jobs/, a package that has two names.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level in (0, 1), f"imports are absolute, got {ast.unparse(node)}"
            package = ".".join(filter(None, ["jobs" * node.level, node.module]))
            yield from (f"{package}.{alias.name}" for alias in node.names)


def top(tree: ast.Module) -> ast.Module:
    """A module's import statements at its top level alone."""
    there = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return ast.Module(list(there), [])


def graph() -> dict[str, set[str]]:
    """For each module of ours the modules of ours that it imports."""
    trees = modules()
    known = {*trees, *(dotted(path) for path in ROOT.glob("textvae/v1/*.py"))}
    arrows = {}
    for module, tree in trees.items():
        named = {name if name in known else name.rpartition(".")[0] for name in imports(tree)}
        arrows[module] = named & known
    return arrows


def reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    """All modules that importing `start` leads to."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = arrows.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def calls(nodes: Iterable[ast.AST], ours: Mapping[str, Function]) -> Iterator[ast.Call]:
    """The calls made when a module is imported; `ours` are its own functions, which are entered."""
    for node in nodes:
        if isinstance(node, Function):
            defaults = [default for default in node.args.kw_defaults if default]
            yield from calls([*node.decorator_list, *node.args.defaults, *defaults], ours)
        elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                others = {other: body for other, body in ours.items() if other != name}
                yield from calls(ours[name].body, others) if name in ours else [node]
            yield from calls(ast.iter_child_nodes(node), ours)


def is_write(call: ast.Call) -> bool:
    """Whether a call writes to the disk past files.py."""
    function = ast.unparse(call.func)
    owner, _, name = function.rpartition(".")
    if name == "open":
        modes = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
        texts = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
        return any(re.fullmatch("[rwxabt+]*[wxa+][rwxabt+]*", str(text)) for text in texts)
    by_path = name in WRITES_OF_PATH.split() and owner != "files"
    return by_path or function in WRITES_OF_OS.split()


def test_the_table_has_every_room_and_no_other() -> None:
    rooms = {room_of(module) for module in modules()} - {""}
    assert rooms - set(HOUSE) == set(), "a new room: give it a floor in HOUSE and in the README"
    assert set(HOUSE) - rooms == set(), "HOUSE has a room that is not there"


def test_arrows_point_down() -> None:
    broken = []
    for module, targets in graph().items():
        room = room_of(module)
        for target in sorted(targets):
            other = room_of(target)
            if other in {room, "errors"}:
                continue
            if not room or not other or HOUSE[other].floor >= HOUSE[room].floor:
                broken.append(f"{module} imports upwards or sideways: {target}")
            elif other in HOUSE[room].never.split():
                broken.append(f"{module} must never know {target}")
    assert not broken, "\n".join(broken)


def test_there_are_no_circles() -> None:
    arrows = graph()
    assert [module for module in arrows if module in reached(arrows, module)] == []


def test_no_chain_of_imports_is_longer_than_can_be_followed() -> None:
    """Of imports at module level: what a function imports when it runs is a step of its own."""
    trees = modules()
    arrows = {
        module: {name if name in trees else name.rpartition(".")[0] for name in imports(top(tree))}
        for module, tree in trees.items()
    }

    @functools.cache
    def chain(module: str) -> tuple[str, ...]:
        return (module, *max(map(chain, arrows[module] & set(trees)), key=len, default=()))

    longest = max(map(chain, trees), key=len)
    assert len(longest) <= CHAIN_MODULES_MAX, " > ".join(longest)


def test_training_and_serve_never_meet() -> None:
    arrows = graph()
    meeting = []
    for module in arrows:
        rooms = {room_of(other) for other in {module, *reached(arrows, module)}}
        if rooms.issuperset(STRANGERS):
            meeting.append(module)
    assert meeting == []


def test_guarded_packages_stand_in_their_rooms_alone() -> None:
    broken = []
    for module, tree in modules().items():
        room = HOUSE.get(room_of(module), Room(0))
        for guard, packages in GUARDED.items():
            found = {name.split(".")[0] for name in imports(tree)} & set(packages.split())
            if found and guard not in room.uses.split():
                broken.append(f"{module} imports {', '.join(sorted(found))}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    "module", ["textvae", "textvae.client", "textvae.cli.commands", "textvae.files"]
)
def test_what_a_client_imports_loads_nothing_of_the_engine(module: str) -> None:
    script = f"import sys, {module}; print(*sorted(set(sys.argv[1:]) & set(sys.modules)))"
    command = [sys.executable, "-c", script, *NOT_FOR_CLIENTS.split()]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


def test_nothing_acts_at_import() -> None:
    acting = []
    for module, tree in modules().items():
        if module.endswith(".__main__"):
            continue
        ours = {node.name: node for node in tree.body if isinstance(node, Function)}
        for call in calls(tree.body, ours):
            name = ast.unparse(call.func).rpartition(".")[2]
            if not name[:1].isupper() and name not in [*MAKES_A_VALUE.split(), ENDS_A_PROGRAM]:
                acting.append(f"{module}:{call.lineno} calls {ast.unparse(call.func)}")
    assert not acting, "\n".join(acting)


def test_only_files_py_writes() -> None:
    writing = []
    for module, tree in modules().items():
        if module == "textvae.files":
            continue
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_write(node)]
        writing += [f"{module}:{node.lineno} calls {ast.unparse(node.func)}" for node in nodes]
        named = {name.split(".")[0] for name in imports(tree)} & {"shutil", "tempfile"}
        writing += [f"{module} imports {name}" for name in sorted(named)]
    assert not writing, "\n".join(writing)


def test_files_and_functions_are_short() -> None:
    long = []
    for path in sorted([*ROOT.glob("textvae/**/*.py"), *ROOT.glob("[jt]*s/**/*.py")]):
        if path.is_relative_to(ROOT / "textvae/v1"):
            continue
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        if (lines := text.count("\n")) > FILE_LINES_MAX:
            long.append(f"{name} has {lines} lines, at most {FILE_LINES_MAX}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{name}: {node.name} has {lines}, at most {FUNCTION_LINES_MAX}")
    assert not long, "\n".join(long)
