"""What all answers of the engine are made of: values with NumPy arrays, no torch, no protobuf.

The answer of each request stands beside it in `engine/operations/`.
"""

from typing import Any, NamedTuple


class GeneratedSentence(NamedTuple):
    """A sentence that the decoder wrote."""

    text: str
    log_prob: float
    """Of the tokens at temperature 1, in nats; the end counts where it was written."""
    tokens: int
    """Tokens written; the end is not counted."""
    ended: bool
    """False where the token limit cut the sentence."""
    alternatives: "tuple[GeneratedSentence, ...]" = ()
    """The beam's other sentences, the best first."""


class Reply(NamedTuple):
    """A result and the facts that replay and explain it."""

    result: Any
    """The answer of the request."""
    seed: int
    queue_us: int
    """Microseconds from submission to the first work."""
    compute_us: int
    """Microseconds from the first work to the result."""
    tokens: int
    """Tokens read and written."""
    batch_rows: int
    """Most rows, the request's own and its neighbours', that shared a decoder step with it."""
