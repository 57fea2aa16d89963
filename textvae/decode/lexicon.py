"""What the tokens of a vocabulary spell, as masks over the vocabulary."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Lexicon(NamedTuple):
    """What each token spells; the masks are (vocab,) bool."""

    spell: Callable[[Sequence[int]], str]
    """Return the text of tokens."""
    pieces: tuple[str, ...]
    """(vocab,) what each token spells by itself; nothing for special ones and for bytes that spell
    a character only with others."""
    joins: Callable[[str], bool]
    """Return whether a character continues a word."""
    characters: np.ndarray
    """(vocab,) characters of each token; a byte counts as one, special tokens as none."""
    continues: np.ndarray
    """Tokens that would continue a word: they begin with a character of one, or are a byte."""
    digits: np.ndarray
    """Tokens with a digit."""
    braces: np.ndarray
    """Tokens with an opening brace."""
    upper: np.ndarray
    """Tokens with a letter in upper case."""
    lower: np.ndarray
    """Tokens with a letter in lower case."""
    begins_upper: np.ndarray
    """Tokens whose first letter is in upper case."""
    begins_lower: np.ndarray
    """Tokens whose first letter is in lower case."""
    final: np.ndarray
    """Tokens of nothing but punctuation that ends a sentence."""
    bytes_alone: np.ndarray
    """Bytes that spell a character only with others."""
