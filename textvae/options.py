"""What a request may choose, with its defaults and limits: one home for server, client and CLI."""

import math
from typing import Annotated, Literal, NamedTuple

from textvae.errors import InputError
from textvae.ranges import check_within

TEMPERATURE_MAX = 10.0
BEAM_MAX = 8
TOP_K_MAX = 2**63 - 1
"""The largest number of the field on the wire."""
SCALE_MAX = 10.0
RADIUS_MAX = 10.0

Prior = Literal["auto", "standard", "fitted"]
PathShape = Literal["lerp", "slerp"]
Method = Literal["auto", "rephrase", "draw", "search"]

PRIOR_DEFAULT: Prior = "auto"
"""The fitted prior where the version has one, else the standard one."""
PATH_DEFAULT: PathShape = "lerp"
SCALE_DEFAULT = 1.0
"""Draws of the prior itself."""
METHOD_DEFAULT: Method = "auto"
"""Rephrase where the version learned from groups, else draw."""
RADIUS_DEFAULT = 1.0
"""Draws of the posterior itself."""
CANDIDATES_MAX = 64
REPHRASE_CANDIDATES, DRAW_CANDIDATES, SEARCH_CANDIDATES = 4, 1, 16
"""Candidates for each variation wanted, where a request says nothing; those of a search are its
chains."""
SEARCH_STEPS, SEARCH_STEPS_MAX = 16, 100
"""Steps of a chain where a request says nothing, and the most of them."""
CLOSENESS_DEFAULT = 0.5
AXIS_MAX_NATS = 1000.0
"""The largest bound of adequacy and fluency, in nats a token."""
IMPORTANCE_SAMPLES_DEFAULT = 100


class Options(NamedTuple):
    """How the decoder generates a sentence from a latent; greedily by default.

    Each field has its help text here, from which the flags of the CLI are made. Its contract is
    the field of the same name in the message `Options`: `optional` where the default is not 0.
    """

    temperature: Annotated[
        float, "softmax temperature, 0 to 10; 0 takes the likeliest token (greedy)"
    ] = 0.0
    top_k: Annotated[int, "draw among the k likeliest tokens; 0: all"] = 0
    top_p: Annotated[
        float, "draw among the likeliest tokens that together have this probability, above 0 to 1"
    ] = 1.0
    tokens_max: Annotated[int, "most tokens of a sentence; 0: the server's limit"] = 0
    min_p: Annotated[
        float, "draw among tokens at least this times as probable as the likeliest, 0 to 1"
    ] = 0.0
    no_repeat: Annotated[
        int, "never repeat a run of this many tokens within a sentence; 0: no guard"
    ] = 0
    beam: Annotated[int, "hypotheses of a beam search, 0 to 8; 0 and 1: no search"] = 0
    alternatives: Annotated[int, "other sentences of the beam to return, fewer than beam"] = 0

    @property
    def slots(self) -> int:
        """Rows of the decoder's batch that one sentence takes: the width of its beam."""
        return max(self.beam, 1)

    def check(self, tokens_max: int) -> None:
        """Raise InputError unless every option is within its limits.

        `tokens_max` is the server's limit.
        """
        check_within("temperature", self.temperature, 0.0, TEMPERATURE_MAX)
        check_within("top_k", self.top_k, 0, TOP_K_MAX)
        if not (math.isfinite(self.top_p) and 0 < self.top_p <= 1):
            raise InputError("top_p", f"must be above 0 and at most 1, got {self.top_p}")
        check_within("tokens_max", self.tokens_max, 0, tokens_max)
        check_within("min_p", self.min_p, 0.0, 1.0)
        check_within("no_repeat", self.no_repeat, 0, tokens_max)
        check_within("beam", self.beam, 0, BEAM_MAX)
        if self.beam > 1 and self.temperature > 0:
            raise InputError("beam", "must be 0 with a temperature; a beam does not draw")
        check_within("alternatives", self.alternatives, 0, max(self.beam - 1, 0))


GREEDY = Options()

LOCKS_MAX = 100
"""Words, spans, patterns and banned phrases of one request, of each kind."""
LOCK_CHARACTERS_MAX = 1000
"""Of one word, pattern or banned phrase."""


class SentenceSpan(NamedTuple):
    """A part of one sentence of a request, in characters of the sentence as it is sent."""

    sentence: int
    """Its number in the request, from 0."""
    start: int
    end: int
    """The character after the last one."""


class Constraints(NamedTuple):
    """What every variation must hold: locks stand unchanged in it, each as often as in the
    sentence."""

    words: tuple[str, ...] = ()
    """Words or phrases to lock wherever they stand; each sentence must have them."""
    spans: tuple[SentenceSpan, ...] = ()
    """Parts of the sentences to lock."""
    patterns: tuple[str, ...] = ()
    """Regular expressions in RE2's syntax; what they match is locked."""
    slots: bool = True
    """Lock names in braces, such as `{order_id}`."""
    numbers: bool = False
    """Lock words with digits, with their currency and unit; no other digit is written."""
    capitalised: bool = False
    """Lock words of two letters or more that begin in upper case, but for the first word."""
    banned: tuple[str, ...] = ()
    """Words or phrases that may not stand in a variation, in any case."""
    characters_min: int = 0
    """Fewest characters of a variation; 0: any."""
    characters_max: int = 0
    """Most characters of a variation; 0: any."""
    keep_case: bool = False
    """The first letter has its case in the sentence; no upper case where the sentence has none, and
    no lower case where it has none."""
    keep_final_punctuation: bool = False
    """A variation ends with the punctuation of the sentence, or with none like it."""

    @property
    def bind_all(self) -> bool:
        """Return whether they hold something for sentences without locks too."""
        length = self.characters_min or self.characters_max
        return bool(self.banned or length or self.keep_case or self.keep_final_punctuation)

    def check(self, sentences: int, characters_max: int) -> None:
        """Raise InputError unless every field is within its limits, which are `characters_max` for
        lengths; locks that a sentence does not have are found with the sentence."""
        for name in ("words", "spans", "patterns", "banned"):
            check_within(f"constraints.{name}", len(getattr(self, name)), 0, LOCKS_MAX, name)
        for name in ("words", "patterns", "banned"):
            for number, text in enumerate(getattr(self, name)):
                _check_text(f"constraints.{name}[{number}]", text)
        for number, span in enumerate(self.spans):
            field = f"constraints.spans[{number}].sentence"
            check_within(field, span.sentence, 0, sentences - 1)
        check_within("constraints.characters_min", self.characters_min, 0, characters_max)
        check_within("constraints.characters_max", self.characters_max, 0, characters_max)
        if 0 < self.characters_max < self.characters_min:
            raise InputError(
                "constraints.characters_max",
                f"must be at least characters_min, {self.characters_min}, "
                f"got {self.characters_max}; or leave it 0 for any",
            )


def _check_text(field: str, text: str) -> None:
    """Raise InputError for an empty or overlong text."""
    if not text.strip():
        raise InputError(
            field, "must not be empty; send at least one character that is not a space"
        )
    if len(text) > LOCK_CHARACTERS_MAX:
        limit = f"must be at most {LOCK_CHARACTERS_MAX} characters, got {len(text)}"
        raise InputError(field, f"{limit}; shorten it")


NO_CONSTRAINTS = Constraints()


def candidates_of(method: Method, candidates: int) -> int:
    """Return the candidates for each variation: those asked for, or as many as the method needs; of
    `auto` as many as it needs at least."""
    defaults: dict[Method, int] = {"rephrase": REPHRASE_CANDIDATES, "search": SEARCH_CANDIDATES}
    return candidates or defaults.get(method, DRAW_CANDIDATES)


def check_search(method: Method, steps: int, candidates: int, options: Options) -> None:
    """Raise InputError for what a search cannot, and for steps of what is no search."""
    check_within("search_steps", steps, 0, SEARCH_STEPS_MAX)
    if method != "search":
        if steps:
            limit = f"must be 0 without method search, got {steps}"
            raise InputError("search_steps", f"{limit}; leave it unset")
        return
    if candidates == 1:
        limit = "must not be 1 with method search, whose chains are judged by each other"
        raise InputError("candidates", f"{limit}; leave it unset")
    if options.beam > 1:
        raise InputError("beam", "must be 0 with method search, which draws; leave it unset")
