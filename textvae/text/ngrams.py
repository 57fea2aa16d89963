"""Runs of words of a text."""

from collections import Counter


def ngrams(text: str, length: int) -> Counter[tuple[str, ...]]:
    """Return the n-grams of words, without case; those of two words or more know the ends of the
    sentence."""
    words = text.casefold().split()
    if length > 1:
        words = ["", *words, ""]
    return Counter(zip(*(words[start:] for start in range(length)), strict=False))
