"""The planning of a request by hand: its rows are what a test says."""

from typing import Any

from textvae.decode.rows import FinishedRow, Row
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Outcome, Planning


class Plan:
    """A request that waits for its rows; one without rows has its outcome already."""

    def __init__(self, loaded: LoadedVersion, planning: Planning[Any]) -> None:
        self.loaded, self.planning = loaded, planning
        self.outcome: Outcome[Any] | None = None
        self.rows = self._advance(None)

    def finish(self, done: list[FinishedRow]) -> Any:
        """Answer the request, which wants no more rows."""
        if self.outcome is None:
            assert self._advance(done) == [], "it has a second stage"
        assert self.outcome is not None
        return self.outcome.answer

    @property
    def tokens_read(self) -> int:
        """As the finished request says."""
        assert self.outcome is not None, "finish it first"
        return self.outcome.tokens_read

    def _advance(self, done: list[FinishedRow] | None) -> list[Row]:
        """Read its sentences until it wants rows, or ends without any."""
        try:
            stage = next(self.planning) if done is None else self.planning.send(done)
            while not isinstance(stage, list):
                stage = self.planning.send(stage and self.loaded.read_all(stage))
            return stage
        except StopIteration as end:
            self.outcome = end.value
            return []
