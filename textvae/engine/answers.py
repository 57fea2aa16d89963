"""What all answers of the engine share: values with NumPy arrays, no torch, no protobuf.

The result of each operation is defined next to its request in `engine/operations/`.
"""

from typing import Any, NamedTuple


class GeneratedSentence(NamedTuple):
    """A sentence that the decoder generated."""

    text: str
    log_prob: float
    """Of the tokens at temperature 1, in nats; the end counts where it was generated."""
    tokens: int
    """Tokens generated; the end is not counted."""
    ended: bool
    """False where the token limit cut the sentence."""
    alternatives: "tuple[GeneratedSentence, ...]" = ()
    """The beam's other sentences, the best first."""


class Axes(NamedTuple):
    """What a candidate is judged by."""

    adequacy: float
    """Nats a token by which source and candidate make each other likelier than the language model
    does: the mean of both directions (Li et al. 2016); 0 where neither says anything of the other,
    less where they speak of different things."""
    fluency: float
    """Nats a token, the end counted, under the language model; lower is more fluent."""
    new_words: float
    """Share of its words that the source does not have, 0 to 1."""
    new_bigrams: float
    """Share of its pairs of adjacent words, both ends counted, that the source does not have."""
    similarity: float = 0.0
    """Cosine of the posterior means of source and candidate, -1 to 1."""

    @property
    def novelty(self) -> float:
        """Return the mean of the two shares."""
        return (self.new_words + self.new_bigrams) / 2


class Reply(NamedTuple):
    """A result and the facts that replay and explain it."""

    result: Any
    """The result of the request's operation."""
    seed: int
    queue_us: int
    """Microseconds from submission to the first work."""
    compute_us: int
    """Microseconds from the first work to the result."""
    tokens: int
    """Tokens read and generated."""
    batch_rows: int
    """Most rows, the request's own and others', that shared a decoder step with it."""
