"""`python -m textvae.benchmarks.whole_requests`: the server, but with whole-request batching.

Slots are measured against this arm, which is what most servers do with an autoregressive model. All
flags are those of `textvae serve`.
"""

import runpy
from collections.abc import Sequence

from textvae.decode.native import DecodeFunctions
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine import engine
from textvae.model.exact import ExactDecoder, bucket_of


class WholeRequests(Slots):
    """Slots in which a batch begins when the one before has ended, and is answered when its longest
    row has ended."""

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
        """Admit the rows that wait, up to all slots; no slot is free again before all are."""
        if rows:
            self.buckets = self._every_bucket
            super().admit(rows)
            # Rows that have ended are computed on as padding.
            self.buckets = (bucket_of(self.running, self._every_bucket),)
        self._close()

    def step(self) -> list[FinishedRow]:
        """Return no row until the batch has ended, and then all of it."""
        self._ended += super().step()
        self._close()
        if self.running:
            return []
        batch, self._ended = self._ended, []
        return batch

    def clear(self) -> None:
        """Free all slots."""
        super().clear()
        self._ended = []
        self._close()

    def _close(self) -> None:
        """Leave no slot free while any row runs."""
        self.capacity = self.running or self._every_bucket[-1]


if __name__ == "__main__":
    # The engine has no setting for it.
    vars(engine)["Slots"] = WholeRequests
    # By name: the benchmark imports no server, it calls one.
    runpy.run_module("textvae.serve", run_name="__main__", alter_sys=True)
