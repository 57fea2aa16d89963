"""Harm to files and folders: each mutation does one below a folder and returns what to restore."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

HUGE_BYTES = 1 << 40
NAMES = (b"evaluation", b"gate", b"000009.json", b"0000003.json", b"manifest.json", b"caf\xe9")
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 10**30, 1.5, [], {}),
    *("", "../../x", "x" * 5000, "\ud800"),
)

Tree = dict[Path, bytes | str | None]
"""Files with their bytes, links with their targets, folders with None."""
Harm = Callable[[random.Random, Tree], list[Path]]
"""Does one harm to a tree that is as it was; gives the paths to put back."""


def tree_of(root: Path) -> Tree:
    """Return all that is below a folder now, folders before their contents."""
    tree: Tree = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            tree[path] = os.readlink(path)
        else:
            tree[path] = None if path.is_dir() else path.read_bytes()
    return tree


def put_back(tree: Tree, touched: list[Path]) -> None:
    """Those paths are as they were, and all below them."""
    for top in touched:
        _remove(top)
    tops = tuple(str(top) for top in touched)
    below = tuple(f"{top}/" for top in tops)
    for path, content in tree.items():
        if str(path).startswith(below) or str(path) in tops:
            _make(path, content)


def _make(path: Path, content: bytes | str | None) -> None:
    """A file, link or folder."""
    if content is None:
        path.mkdir()
    elif isinstance(content, str):
        path.symlink_to(content)
    else:
        path.write_bytes(content)


def _remove(path: Path) -> None:
    """Nothing is at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _file(chance: random.Random, tree: Tree) -> tuple[Path, bytes]:
    """A file and its bytes."""
    return chance.choice([(path, data) for path, data in tree.items() if isinstance(data, bytes)])


def _path(chance: random.Random, tree: Tree) -> Path:
    """A file or a folder, folders as often."""
    folders = chance.random() < 0.5
    return chance.choice([path for path, data in tree.items() if (data is None) == folders])


def _rewrite(path: Path, data: bytes) -> list[Path]:
    """Replace the bytes of a file, which may be read-only."""
    path.unlink()
    path.write_bytes(data)
    return [path]


def flip(chance: random.Random, tree: Tree) -> list[Path]:
    """One bit, or a few."""
    path, data = _file(chance, tree)
    flipped = bytearray(data or b"\0")
    for _ in range(chance.choice([1, 1, 1, 5])):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return _rewrite(path, bytes(flipped))


def insert(chance: random.Random, tree: Tree) -> list[Path]:
    """Bytes in the middle: random ones, no UTF-8, deep brackets, a long number."""
    path, data = _file(chance, tree)
    fixed = [b"\xff\xfe", b"[" * 20_000, b"9" * 5000, b" ", b"\0"]
    more = chance.choice([chance.randbytes(3), *fixed])
    at = chance.choice([0, chance.randint(0, len(data)), len(data)])
    return _rewrite(path, data[:at] + more + data[at:])


def delete(chance: random.Random, tree: Tree) -> list[Path]:
    """Change some bytes of a file, or all from an offset on."""
    path, data = _file(chance, tree)
    at = chance.randint(0, len(data))
    end = chance.choice([at + 1, at + chance.randint(1, 50), len(data)])
    return _rewrite(path, data[:at] + data[end:])


def edit(chance: random.Random, tree: Tree) -> list[Path]:
    """One value of a JSON file, at any depth, is another, or its key is."""
    path, data = _file(chance, tree)
    if path.suffix != ".json":
        return flip(chance, tree)
    value = json.loads(data)
    node = value
    while isinstance(node, dict) and node:
        key = chance.choice(list(node))
        if not isinstance(node[key], dict) or chance.random() < 0.2:
            other = [*VALUES, chance.choice(list(node.values()))]
            if chance.random() < 0.2:
                node[chance.choice(["sha256", "", "format", "../x"])] = node.pop(key)
            else:
                node[key] = chance.choice(other)
            break
        node = node[key]
    return _rewrite(path, json.dumps(value).encode())


def swap(chance: random.Random, tree: Tree) -> list[Path]:
    """Two files, or two folders, have each other's names."""
    one = _path(chance, tree)
    kin = [path for path in tree if path.name == one.name or path.parent == one.parent]
    two = chance.choice([path for path in kin if (tree[path] is None) == (tree[one] is None)])
    if one == two or one in two.parents or two in one.parents:
        return []
    aside = one.with_name("aside")
    os.rename(one, aside)
    os.rename(two, one)
    os.rename(aside, two)
    return [one, two]


def _name(chance: random.Random, path: Path) -> Path:
    """Return another name next to a path: a plausible one, or nonsense."""
    name = path.name
    if name[:6].isdigit() and chance.random() < 0.7:
        return path.with_name(f"{int(name[:6]) + chance.choice([1, 7, -1]):06d}{name[6:]}")
    return Path(os.fsdecode(os.path.join(os.fsencode(path.parent), chance.choice(NAMES))))


def duplicate(chance: random.Random, tree: Tree) -> list[Path]:
    """Copy it next to itself, or over another."""
    path = _path(chance, tree)
    twin = _name(chance, path)
    if twin == path:
        return []
    _remove(twin)
    if tree[path] is None:
        shutil.copytree(path, twin, symlinks=True)
    else:
        _make(twin, tree[path])
    return [twin]


def rename(chance: random.Random, tree: Tree) -> list[Path]:
    """It has another name, or takes that of another."""
    path = _path(chance, tree)
    new = _name(chance, path)
    if new == path:
        return []
    _remove(new)
    os.rename(path, new)
    return [path, new]


def remove(chance: random.Random, tree: Tree) -> list[Path]:
    """It is gone."""
    path = _path(chance, tree)
    _remove(path)
    return [path]


def link(chance: random.Random, tree: Tree) -> list[Path]:
    """Replace it by a symbolic link: to another, to itself, to nothing, to an endless file."""
    path = _path(chance, tree)
    target = chance.choice([str(_path(chance, tree)), path.name, "nothing", "/dev/zero", "..", "."])
    _remove(path)
    path.symlink_to(target)
    return [path]


def change_kind(chance: random.Random, tree: Tree) -> list[Path]:
    """Replace a file by a folder, a folder by a file, or either by a pipe without a writer."""
    path = _path(chance, tree)
    _remove(path)
    kind = chance.randrange(3)
    if kind == 0:
        os.mkfifo(path)
    elif tree[path] is None:
        path.write_bytes(b"{}")
    else:
        path.mkdir()
    return [path]


def inflate(chance: random.Random, tree: Tree) -> list[Path]:
    """A terabyte of zeros at the end, which takes no room on the disk."""
    path, data = _file(chance, tree)
    _rewrite(path, data)
    os.truncate(path, HUGE_BYTES)
    return [path]


HARMS: tuple[Harm, ...] = (
    flip,
    insert,
    delete,
    edit,
    swap,
    duplicate,
    rename,
    remove,
    link,
    change_kind,
    inflate,
)
