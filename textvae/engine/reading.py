"""Sentences that a network is to read."""

from typing import Literal, NamedTuple

Network = Literal["encoder", "language_model"]


class Reading(NamedTuple):
    """Sentences, given as token ids, that a network is to read."""

    network: Network
    ids: list[list[int]]


def by_length(encoded: list[list[int]]) -> list[int]:
    """Return the numbers of the sentences, the shortest first: neighbours share a bucket well."""
    return sorted(range(len(encoded)), key=lambda number: len(encoded[number]))
