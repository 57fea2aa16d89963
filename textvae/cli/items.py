"""Items of an input: the sentences, latents or draws that a command asks a server for."""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Item(NamedTuple):
    """A sentence, latent or draw of an input, or what is wrong with it."""

    number: int
    """Its line, row or place, from 1."""
    value: Any = None
    """A sentence, or the number of a latent; of a draw nothing."""
    problem: str = ""
    """Why it cannot be asked for; such an item is not sent and has no order."""
    order: int = 0
    """Number among the items that are sent, from 0: its draws go by seed and order alone, so that
    they are the same in whatever chunks it is sent."""


class Source(NamedTuple):
    """An input, in pieces as they arrive."""

    pieces: Iterator[list[Item]]
    unit: str
    """line, row, sentence, latent or draw."""
    of: str = ""
    """Where the items are from: ` of stdin`; empty for the command line."""
    total: int | None = None
    """Items in all; None where only the end tells."""

    def place(self, number: int) -> str:
        """Return the words for an item: `line 3 of stdin`."""
        return f"{self.unit} {number}{self.of}"


def source_of(values: list[Any], unit: str, of: str = "", size: int = 1024) -> Source:
    """Return the source of values that are all there."""
    items = [Item(number, value) for number, value in enumerate(values, start=1)]
    pieces = (items[start : start + size] for start in range(0, len(items), size))
    return Source(pieces, unit, of, len(items))


def blank_item(number: int, skip_blank: bool) -> list[Item]:
    """Return the item of a blank line or row; none where it is to be left out."""
    problem = "is blank; take it out, or leave out all such lines with --skip-blank"
    return [] if skip_blank else [Item(number, problem=problem)]


def numbered(source: Source) -> Iterator[list[Item]]:
    """Yield the pieces of a source, with the order of each item that is to be sent."""
    order = 0
    for piece in source.pieces:
        items = []
        for item in piece:
            items.append(item if item.problem else item._replace(order=order))
            order += not item.problem
        yield items
