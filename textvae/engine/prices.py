"""What work costs: seconds a token, learned from full batches, and what a kind of request needs."""

import math
import threading
from typing import NamedTuple

WINDOW_S = 2.0
"""Seconds of work that the price of a token is the mean of: the last ones count most."""
NEWEST_REQUEST, NEWEST_ROW = 0.2, 0.05
"""Weights of the newest sample: of what a request needed, and of how long a row became."""
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


class _Price:
    """Seconds a token: the mean of the last WINDOW_S of work."""

    def __init__(self, token_s: float) -> None:
        self.token_s = token_s
        self._seconds, self._tokens = 0.0, 0.0

    def learn(self, seconds: float, tokens: int) -> None:
        """Learn from a batch of so many tokens."""
        kept = math.exp(-seconds / WINDOW_S)
        self._seconds = kept * self._seconds + seconds
        self._tokens = kept * self._tokens + tokens
        self.token_s = self._seconds / self._tokens


class Prices:
    """Estimates that every batch and request corrects; any thread may use them."""

    def __init__(self, read_s: float = 0.0, write_s: float = 0.0) -> None:
        """`read_s`, `write_s`: seconds a token in a full batch; 0 until one has been seen."""
        self._read, self._write = _Price(read_s), _Price(write_s)
        self._tokens: dict[str, float] = {}
        self._longest: dict[str, float] = {}
        self._factors: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def read_s(self) -> float:
        """Return the seconds of a token that is read in a full batch."""
        return self._read.token_s

    @property
    def write_s(self) -> float:
        """Return the seconds of a token that is written in a full batch."""
        return self._write.token_s

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

    def serial_s(self, kind: str, slots: int) -> float:
        """Return how long the longest row of such a request is written, in full batches: a token
        a step, however few rows there are."""
        with self._lock:
            return self._longest.get(kind, 0.0) * slots * self.write_s

    def learn_read(self, seconds: float, tokens: int) -> None:
        """Learn from a full batch that was read."""
        with self._lock:
            self._read.learn(seconds, tokens)

    def learn_write(self, seconds: float, tokens: int) -> None:
        """Learn from a step of a full batch."""
        with self._lock:
            self._write.learn(seconds, tokens)

    def learn_row(self, kind: str, tokens: int) -> None:
        """Learn from a row that has ended."""
        with self._lock:
            self._tokens[kind] = _towards(self._tokens.get(kind, tokens), tokens, NEWEST_ROW)

    def learn_request(self, work: Work, seconds: float, longest: int) -> None:
        """Learn from a request that has ended, took so many seconds of the engine, and had a
        longest row of so many tokens."""
        with self._lock:
            old = self._longest.get(work.kind, 0.0)
            self._longest[work.kind] = _towards(old, longest, NEWEST_REQUEST)
            asked = self._asked(work)
            if asked > 0 and seconds > 0:
                old = self._factors.get(work.kind, 0.0)
                self._factors[work.kind] = _towards(old, seconds / asked, NEWEST_REQUEST)

    def _asked(self, work: Work) -> float:
        """Return the seconds of what the request says, once."""
        read = work.characters / CHARACTERS_A_TOKEN * self.read_s
        return read + work.written_rows * self._row_s(work.kind)

    def _row_s(self, kind: str) -> float:
        return self._tokens.get(kind, TOKENS_FIRST) * self.write_s


def _towards(old: float, new: float, weight: float) -> float:
    """Return the exponentially weighted mean; the first sample as it is."""
    return old + weight * (new - old) if old else float(new)
