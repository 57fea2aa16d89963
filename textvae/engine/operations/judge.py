"""Judge: the axes of sentences that somebody else wrote as variations of others."""

from dataclasses import dataclass

from textvae.engine.answers import Axes
from textvae.engine.axes import Judge, Sources
from textvae.engine.limits import Limits, check_rows, check_sentences
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Outcome, Planning, name_sentences
from textvae.engine.prices import Work
from textvae.errors import InputError
from textvae.text.tokenizer import REBUILD, REPHRASE


@dataclass(frozen=True)
class JudgeRequest:
    """A request to judge a candidate of each sentence; it draws nothing."""

    sentences: tuple[str, ...]
    candidates: tuple[str, ...]
    """As many as there are sentences."""
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows that it needs in the decoder: one for each direction."""
        return 2 * len(self.sentences)

    @property
    def work(self) -> Work:
        """What it asks for."""
        return Work(
            "judge", sum(map(len, [*self.sentences, *self.candidates])), self.rows, self.rows
        )

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits."""
        check_sentences(self.sentences, limits)
        check_sentences(self.candidates, limits, "candidates")
        check_rows("sentences", self.rows, limits)
        if len(self.candidates) != len(self.sentences):
            counts = f"{len(self.sentences)} sentences, got {len(self.candidates)}"
            raise InputError("candidates", f"must be one for each of {counts}")

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[list[Axes]]:
        """Encode all sentences, score each under the posterior mean of the other."""
        ids = yield from loaded.tokens(name_sentences(self.sentences), limits.tokens_max)
        written = yield from loaded.tokens(
            {f"candidates[{number}]": text for number, text in enumerate(self.candidates)},
            limits.tokens_max,
        )
        mean, _ = yield from loaded.encoding(ids)
        begin = REPHRASE if loaded.rephrases else REBUILD
        judge = Judge(loaded, owner, begin, limits.tokens_max)
        nats = yield from loaded.language_model_nats(ids)
        pairs = list(enumerate(map(tuple, written)))
        found = yield from judge.axes(Sources(self.sentences, ids, mean, nats), pairs)
        return Outcome([found[pair] for pair in pairs], sum(map(len, [*ids, *written])))
