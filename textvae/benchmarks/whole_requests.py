"""`python -m textvae.benchmarks.whole_requests`: the server, but with whole-request batching.

The arm that slots are measured against: what most servers do with a model that writes token by
token. All flags are those of `textvae serve`.
"""

import runpy
from collections.abc import Sequence

from textvae.decode.native import DecodeFunctions
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine import engine
from textvae.model.exact import ExactDecoder, bucket_of


class WholeRequests(Slots):
    """A batch begins when the one before has ended, and is answered when its longest row has."""

    def __init__(
        self,
        decoder: ExactDecoder,
        special: SpecialIds,
        buckets: tuple[int, ...],
        library: DecodeFunctions | None = None,
    ) -> None:
        super().__init__(decoder, special, buckets, library)
        self._every_bucket = buckets
        self._ended: list[FinishedRow] = []

    def admit(self, rows: Sequence[Row]) -> None:
        """All that waits, up to the most slots; none is free again before all are."""
        if rows:
            self.buckets = self._every_bucket
            super().admit(rows)
            # Rows that have ended are computed on as padding.
            self.buckets = (bucket_of(self.running, self._every_bucket),)
        self._close()

    def step(self) -> list[FinishedRow]:
        """Nothing, until the batch is over; then all of it."""
        self._ended += super().step()
        self._close()
        if self.running:
            return []
        over, self._ended = self._ended, []
        return over

    def clear(self) -> None:
        """Free all slots."""
        super().clear()
        self._ended = []
        self._close()

    def _close(self) -> None:
        """No slot is free while any runs."""
        self.capacity = self.running or self._every_bucket[-1]


if __name__ == "__main__":
    # The engine has no setting for it.
    vars(engine)["Slots"] = WholeRequests
    # By name: what measures knows a server by its clients alone.
    runpy.run_module("textvae.serve", run_name="__main__", alter_sys=True)
