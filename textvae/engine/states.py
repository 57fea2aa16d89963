"""States of a search: what each is worth, and when a chain takes one."""

from typing import NamedTuple

import numpy as np

from textvae.engine.answers import Axes

# Weights of what a state is worth, tuned on the captions' validation side with a version that has
# learned from no groups.
AGREEMENT, ADEQUACY, NEW_WORDS, NEW_BIGRAMS = 4.0, 0.7, 10.0, 2.8
FLUENCY, LENGTH = 1.0, 2.8
"""Of nats a token of the state, and of its nats over the tokens of the sentence: what is said in
fewer words is cheaper."""
HOT, COLD = 0.3, 0.03
"""Temperatures of the first and of the last step, in what a state is worth."""


class State(NamedTuple):
    """A sentence that a chain was at."""

    text: str
    tokens: tuple[int, ...]
    axes: Axes
    value: float
    """What it is worth; -infinity for the sentence itself and what must not be."""


def worth(axes: Axes, agreement: float, length: float, closeness: float) -> float:
    """Return what a state is worth, by its axes, its agreement with the draws, and its tokens over
    those of the sentence.

    New words are a loss as far as it is to be faithful: without groups, a version knows few words
    for the same thing. What is new is how the words stand.
    """
    faithful = ADEQUACY * axes.adequacy - NEW_WORDS * axes.new_words
    return (
        AGREEMENT * agreement
        + closeness * faithful
        + (1 - closeness) * NEW_BIGRAMS * axes.new_bigrams
        - (FLUENCY + LENGTH * length) * axes.fluency
    )


def temperature_of(step: int, steps: int) -> float:
    """Return the temperature of a step, from HOT to COLD by equal factors."""
    return float(HOT * (COLD / HOT) ** (step / max(steps - 1, 1)))


def accepts(current: State, proposal: State, temperature: float, number: float) -> bool:
    """Return whether a chain takes a proposal, by a number in [0, 1) (Metropolis et al. 1953)."""
    if proposal.value >= current.value:
        return True
    return bool(number < np.exp((proposal.value - current.value) / temperature))
