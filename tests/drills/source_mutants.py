"""Mutants of Python source: each is the file with one node of it changed, all else byte for byte.

What no test need judge is left alone: docstrings, annotations and decorators, imports, assertions
and `strict=`, which say our own invariants, logs, and the text of messages.
"""

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

BINARY: Mapping[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
COMPARISONS: Mapping[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: (r"is\s+not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: (r"not\s+in", "in"),
}
TURNED_ROUND = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
"""Comparisons of which the swap is the negation."""
BETWEEN = r"(?:[\s()\\]|#[^\n]*\n)*"
"""What may stand between an operand and its operator."""


class Mutant(NamedTuple):
    """One change of one file."""

    file: str
    number: int
    """Of the line, from 1."""
    column: int
    """From 1."""
    line: str
    """The line as it is."""
    becomes: str
    """The line as the mutant has it."""
    nth: int
    """From 0, of the nodes in the file that are changed from such a line into such a line."""
    first: int
    last: int
    """The bytes from `first` up to `last` are replaced."""
    replacement: str

    def within(self, source: bytes) -> bytes:
        """The file with the change."""
        return source[: self.first] + self.replacement.encode() + source[self.last :]

    def rank(self, seed: int) -> str:
        """Its rank in the order of the draw.

        It knows neither the file's name nor the lines above, so that a move or a change elsewhere
        leaves a draw of the same seed as it was.
        """
        describe = f"{seed}\0{self.line}\0{self.becomes}\0{self.nth}"
        return hashlib.sha256(describe.encode()).hexdigest()


class Edit(NamedTuple):
    """Bytes of a source and what stands there instead."""

    first: int
    last: int
    replacement: str


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """All mutants of a file, in source order."""
    lines, seen = source.split(b"\n"), Counter[tuple[str, str]]()
    found = []
    for edit in sorted(set(_Maker(source).of(ast.parse(source)))):
        number = source.count(b"\n", 0, edit.first)
        begin = source.rfind(b"\n", 0, edit.first) + 1
        changed = source[begin : edit.first] + edit.replacement.encode() + source[edit.last :]
        line, becomes = (text.decode().strip() for text in (lines[number], changed.split(b"\n")[0]))
        nth = seen[line, becomes]
        seen[line, becomes] += 1
        found.append(Mutant(file, number + 1, edit.first - begin + 1, line, becomes, nth, *edit))
    return found


class _Maker:
    """Finds the edits of one source."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.starts = [0]
        for line in source.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)

    def of(self, node: ast.AST) -> Iterator[Edit]:
        """The edits of a node and all below it."""
        yield from self._own(node)
        for child in _judged(node):
            yield from self.of(child)

    def _own(self, node: ast.AST) -> Iterator[Edit]:
        """The edits of the node itself."""
        match node:
            case ast.Constant():
                yield from self._constant(node)
            case ast.BinOp():
                yield self._operator(node.left, node.right, *BINARY[type(node.op)])
            case ast.AugAssign():
                old, new = BINARY[type(node.op)]
                yield self._operator(node.target, node.value, f"{old}=", f"{new}=")
            case ast.Compare():
                operands = pairwise([node.left, *node.comparators])
                for (left, right), kind in zip(operands, node.ops, strict=True):
                    yield self._operator(left, right, *COMPARISONS[type(kind)])
            case ast.BoolOp():
                old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in pairwise(node.values):
                    yield self._operator(left, right, old, new)
            case ast.UnaryOp(op=ast.Not()):
                yield self._shortened(node, "not ")
            case ast.UnaryOp(op=ast.USub() | ast.Invert()):
                yield self._shortened(node, "-")
            case ast.If() | ast.While() | ast.IfExp() if not _turned_round(node.test):
                yield self._negated(node.test)
            case ast.comprehension():
                yield from (self._negated(test) for test in node.ifs if not _turned_round(test))
        if isinstance(node, ast.stmt):
            yield from self._statement(node)

    def _statement(self, node: ast.stmt) -> Iterator[Edit]:
        """The edits that take a statement away, or make it another one."""
        first, last = self._span(node)
        match node:
            case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Delete():
                yield Edit(first, last, "pass")
            case ast.Assign() if _keeps(node.targets):
                yield Edit(first, last, "pass")
            case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                yield Edit(first, last, "return None")
            case ast.Break():
                yield Edit(first, last, "continue")
            case ast.Continue():
                yield Edit(first, last, "break")

    def _constant(self, node: ast.Constant) -> Iterator[Edit]:
        """Another number, or the other truth value."""
        value = node.value
        if isinstance(value, bool):
            yield Edit(*self._span(node), str(not value))
        elif isinstance(value, int | float):
            yield Edit(*self._span(node), repr(type(value)(0 if value == 1 else value + 1)))

    def _operator(self, left: ast.AST, right: ast.AST, old: str, new: str) -> Edit:
        """Another operator between two operands."""
        first, last = self._span(left)[1], self._span(right)[0]
        between = self.source[first:last].decode()
        pattern = old if "\\" in old else re.escape(old)
        found = re.match(f"{BETWEEN}({pattern})", between)
        assert found, f"no {old} in {between!r}"
        # All our source is ASCII, so characters are bytes.
        return Edit(first + found.start(1), first + found.end(1), new)

    def _negated(self, test: ast.expr) -> Edit:
        """The opposite of a condition."""
        first, last = self._span(test)
        return Edit(first, last, f"not ({self.source[first:last].decode()})")

    def _shortened(self, node: ast.expr, sign: str) -> Edit:
        """The operand without what stands before it."""
        first, _ = self._span(node)
        return Edit(first, first + len(sign), "")

    def _span(self, node: ast.AST) -> tuple[int, int]:
        """The node's first byte, and that after its last."""
        assert isinstance(node, ast.expr | ast.stmt), f"{node} has no position"
        assert node.end_lineno is not None, "parsed from a source"
        assert node.end_col_offset is not None, "parsed from a source"
        first = self.starts[node.lineno - 1] + node.col_offset
        return first, self.starts[node.end_lineno - 1] + node.end_col_offset


def _turned_round(test: ast.expr) -> bool:
    """Whether another mutant is the negation of this condition already."""
    if isinstance(test, ast.Compare):
        return len(test.ops) == 1 and isinstance(test.ops[0], TURNED_ROUND)
    return isinstance(test, ast.UnaryOp | ast.Constant)


def _keeps(targets: list[ast.expr]) -> bool:
    """Whether an assignment is to something older than itself; without any other its names would
    be missing, which every test sees."""
    parts = [part for each in targets for part in getattr(each, "elts", [each])]
    return any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts)


def _judged(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one that a test could judge."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = (each for each in node.args.kw_defaults if each)
            children = [*node.args.defaults, *defaults, *node.body]
        case ast.ClassDef():
            children = list(node.body)
        case ast.AnnAssign():
            children = [node.value] if node.value else []
        case ast.Raise():
            children = []
        case _:
            children = list(ast.iter_child_nodes(node))
    return (child for child in children if not _left_alone(child))


def _left_alone(node: ast.AST) -> bool:
    """Whether a node is none of a test's business."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.JoinedStr():
            return True
        case ast.Expr(value=ast.Constant()) | ast.keyword(arg="strict"):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        # A union of types outside functions is an annotation with a name.
        case ast.Assign(value=ast.BinOp(op=ast.BitOr())):
            return True
    return False
