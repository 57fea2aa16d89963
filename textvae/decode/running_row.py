"""The state of a row of the decoder's batch while it runs."""

from typing import TYPE_CHECKING, NamedTuple

from textvae.decode.beam import Beam, Hypothesis
from textvae.decode.constrained_row import ConstrainedRow
from textvae.decode.rows import Row

if TYPE_CHECKING:
    from textvae.model.exact import DecoderState


class Moment(NamedTuple):
    """A row between two steps. Steps write new tensors, so that a state is kept by name alone."""

    batch: "DecoderState"
    row: int
    """Its place in the batch."""
    log_prob: float


class RunningRow:
    """The state of a row while it runs, or of one hypothesis of its beam."""

    def __init__(
        self, row: Row, beam: Beam | None = None, hypothesis: Hypothesis | None = None
    ) -> None:
        self.row = row
        self.beam = beam
        self.tokens = list(hypothesis.tokens) if hypothesis else []
        self.log_prob = hypothesis.log_prob if hypothesis else 0.0
        self.batch_rows = 0
        held = row.constraint
        self.constrained = ConstrainedRow(held, row.tokens_max) if held else None
        self.goes_back = False
        self.history: list[Moment] = []
        """Before each token of a row under a constraint, the next one included."""

    def go_back(self) -> "Moment":
        """Forget the tokens after the place to go on from; return how it was there."""
        assert self.constrained, "a row goes back for its constraint alone"
        place = self.constrained.place
        moment = self.history[place]
        self.tokens, self.history = self.tokens[:place], self.history[:place]
        self.log_prob, self.goes_back = moment.log_prob, False
        return moment
