"""What work costs: seconds a token, learned from full batches, and what a kind of request needs."""

import threading
from typing import NamedTuple

QUICK, SLOW = 0.2, 0.05
"""Weights of the newest sample: of the seconds of a batch, and of what a request needed."""
TOKENS_FIRST = 12.0
"""Tokens of a row before any has ended."""
CHARACTERS_A_TOKEN = 4.0


class Work(NamedTuple):
    """What a request asks for, as far as it is known at its arrival."""

    kind: str
    """Requests of one kind need about the same for each row and character."""
    characters: int
    """To be read."""
    rows: int
    """Of the answer, which it holds until they are written."""
    written_rows: int


class Prices:
    """Estimates that every batch and request corrects; any thread may use them."""

    def __init__(self, read_s: float = 0.0, write_s: float = 0.0) -> None:
        """`read_s`, `write_s`: seconds a token in a full batch; 0 until one has been seen."""
        self.read_s, self.write_s = read_s, write_s
        self._tokens: dict[str, float] = {}
        self._factors: dict[str, float] = {}
        self._lock = threading.Lock()

    def seconds(self, work: Work) -> float:
        """Return how long the work keeps the engine, beside nothing else, in full batches."""
        with self._lock:
            return self._asked(work) * self._factors.get(work.kind, 1.0)

    def row_s(self, kind: str) -> float:
        """Return how long a row of such a request keeps the engine."""
        with self._lock:
            return self._row_s(kind)

    def tokens_of(self, kind: str) -> float:
        """Return the tokens that a row of such a request takes."""
        with self._lock:
            return self._tokens.get(kind, TOKENS_FIRST)

    def learn_read(self, seconds: float, tokens: int) -> None:
        """Learn from a full batch that was read."""
        with self._lock:
            self.read_s = _towards(self.read_s, seconds / max(tokens, 1), QUICK)

    def learn_write(self, seconds: float, tokens: int) -> None:
        """Learn from a step of a full batch."""
        with self._lock:
            self.write_s = _towards(self.write_s, seconds / max(tokens, 1), QUICK)

    def learn_row(self, kind: str, tokens: int) -> None:
        """Learn from a row that has ended."""
        with self._lock:
            self._tokens[kind] = _towards(self._tokens.get(kind, tokens), tokens, SLOW)

    def learn_request(self, work: Work, seconds: float) -> None:
        """Learn from a request that has ended and took so many seconds of the engine."""
        with self._lock:
            asked = self._asked(work)
            if asked > 0 and seconds > 0:
                old = self._factors.get(work.kind, 0.0)
                self._factors[work.kind] = _towards(old, seconds / asked, QUICK)

    def _asked(self, work: Work) -> float:
        """Return the seconds of what the request says, once."""
        read = work.characters / CHARACTERS_A_TOKEN * self.read_s
        return read + work.written_rows * self._row_s(work.kind)

    def _row_s(self, kind: str) -> float:
        return self._tokens.get(kind, TOKENS_FIRST) * self.write_s


def _towards(old: float, new: float, weight: float) -> float:
    """Return the exponentially weighted mean; the first sample as it is."""
    return old + weight * (new - old) if old else float(new)
