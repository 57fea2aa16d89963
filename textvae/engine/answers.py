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
