"""Edits of a sentence, word by word: what a step of a search proposes."""

from collections.abc import Sequence
from typing import NamedTuple

NUMBERS = 4
"""Random numbers that choose an edit."""
REMOVED_MAX, MOVED_MAX, GROWN_MAX = 3, 4, 4
"""Most words that one edit removes, moves, or has the decoder write."""
# Shares of the edits; the others have words written in place of 0 to GROWN_MAX.
REMOVALS, MOVES, NEW_ENDS = 0.2, 0.1, 0.2
KEPT_MIN = 3
"""Fewest words of a sentence that removing leaves."""


class Edit(NamedTuple):
    """A sentence to come: words, then words that the decoder writes, then words."""

    before: tuple[str, ...]
    grown: int | None
    """Words to write; None: all until the sentence ends."""
    after: tuple[str, ...]


def edit_of(words: Sequence[str], numbers: Sequence[float]) -> Edit:
    """Return the edit of a sentence of one word or more that NUMBERS numbers in [0, 1) choose."""
    which, size, place, target = numbers
    words, count = tuple(words), len(words)
    if which < REMOVALS and count > KEPT_MIN:
        removed = min(_among(size, 1, REMOVED_MAX), count - KEPT_MIN)
        start = _among(place, 0, count - removed)
        return Edit(words[:start] + words[start + removed :], 0, ())
    if REMOVALS <= which < REMOVALS + MOVES and count > 1:
        moved = min(_among(size, 1, MOVED_MAX), count - 1)
        start = _among(place, 0, count - moved)
        rest = words[:start] + words[start + moved :]
        to = _among(target, 0, len(rest))
        return Edit(rest[:to] + words[start : start + moved] + rest[to:], 0, ())
    start = _among(place, 0, count - 1)
    if which >= 1 - NEW_ENDS:
        return Edit(words[:start], None, ())
    removed = min(_among(size, 0, GROWN_MAX), count - start)
    return Edit(words[:start], _among(target, 1, GROWN_MAX), words[start + removed :])


def edited(edit: Edit, written: str) -> str:
    """Return the sentence of an edit; `written`: its words before and what the decoder wrote after
    them, which may be more than is wanted."""
    words = written.split() if edit.grown != 0 else edit.before
    if edit.grown is not None:
        words = words[: len(edit.before) + edit.grown]
    return " ".join([*words, *edit.after])


def _among(number: float, low: int, high: int) -> int:
    """Return one of `low` to `high`, both included, by a number in [0, 1)."""
    return low + int(number * (high - low + 1))
