"""What a sentence must hold while it is generated: locks, banned words, length, case, its end."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from textvae.decode.lexicon import Lexicon


class Lock(NamedTuple):
    """A text that must stand unchanged."""

    text: str
    spaced: tuple[int, ...]
    """Its tokens after a space that they spell themselves."""
    bare: tuple[int, ...]
    """Its tokens without one."""
    joins: bool
    """Whether it may stand right after any character, as in a script without spaces."""
    follows_space: bool
    """Whether a space or the sentence's begin is before it in the source."""
    bounded: bool
    """Whether the character after it may not continue a word."""
    neighbour: str | None
    """The word before it in the source, without its case; empty where the source begins with it,
    None where it is no word of its own."""
    signs: np.ndarray
    """Token ids that say that the decoder would begin it, its first tokens among them."""

    @property
    def tokens_most(self) -> int:
        """Return the most tokens that it takes."""
        return max(len(self.spaced), len(self.bare))


class Constraint(NamedTuple):
    """What a row must hold. No lock and no bound: nothing."""

    lexicon: Lexicon
    end: int
    """The id of a sentence's end."""
    locks: tuple[Lock, ...] = ()
    banned: tuple[str, ...] = ()
    """Phrases that may not stand in the sentence, without their case."""
    has_banned: Callable[[str, Sequence[str]], bool] | None = None
    """(text, phrases) -> whether the text ends with one of them, as a word of its own."""
    characters_min: int = 0
    characters_max: int = 0
    """0 for any."""
    final: str | None = None
    """The punctuation that must end the sentence; empty: none may; None: any."""
    final_tokens: tuple[int, ...] = ()
    mask: np.ndarray | None = None
    """(vocab,) bool: tokens that only locks may have."""
    first_mask: np.ndarray | None = None
    """(vocab,) bool: tokens that may not be the first with a letter."""
    forbids: Callable[[str, bool], bool] | None = None
    """(character, whether it is the first letter) -> what the masks say of a character that bytes
    spell together."""
