"""Paraphrase: sentences to variations of each, and the best of the candidates.

A rephrasing is what the decoder writes of a sentence's posterior when its first token says so; a
draw is what it rebuilds of a point near the posterior's mean; a search edits draws word by word
(`engine/annealing.py`).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from textvae.engine.annealing import Search
from textvae.engine.answers import Axes
from textvae.engine.axes import Judge, Pair, Sources
from textvae.engine.candidates import Bounds, Candidate, Reason, choose
from textvae.engine.limits import Limits, check_address, check_rows, check_sentences
from textvae.engine.load import LoadedVersion
from textvae.engine.locks import SentenceLocks, check_patterns, locks_of
from textvae.engine.plan import Address, Outcome, Planning, Steps, name_sentences
from textvae.engine.prices import Work
from textvae.engine.variations import (
    Drawn,
    Draws,
    Variation,
    Variations,
    variations_of,
    with_locks,
)
from textvae.errors import InputError
from textvae.options import (
    AXIS_MAX_NATS,
    CANDIDATES_MAX,
    CLOSENESS_DEFAULT,
    GREEDY,
    METHOD_DEFAULT,
    NO_CONSTRAINTS,
    RADIUS_DEFAULT,
    RADIUS_MAX,
    SEARCH_STEPS,
    Constraints,
    Method,
    Options,
    candidates_of,
    check_search,
)
from textvae.ranges import check_within
from textvae.text.sentence import normalise
from textvae.text.tokenizer import REBUILD, REPHRASE

ROUNDS = 3
"""Times that candidates are drawn while too few of them can be chosen."""
WIDER = 1.5
"""What each further round multiplies the radius by."""


class ParaphraseResult(NamedTuple):
    """For each sentence its variations."""

    results: list[Variations]
    method: Literal["rephrase", "draw", "search"]


@dataclass(frozen=True)
class ParaphraseRequest:
    """A request for `count` variations of each sentence, z = mu + radius * sigma * epsilon.

    `candidates` of them are drawn for each variation; 0: as many as the method needs.
    """

    sentences: tuple[str, ...]
    count: int
    radius: float = RADIUS_DEFAULT
    distinct: bool = False
    options: Options = GREEDY
    method: Method = METHOD_DEFAULT
    candidates: int = 0
    closeness: float = CLOSENESS_DEFAULT
    adequacy_min: float = 0.0
    fluency_max: float = np.inf
    novelty_min: float = 0.0
    constraints: Constraints = NO_CONSTRAINTS
    search_steps: int = 0
    """Of every chain of a search; 0: SEARCH_STEPS."""
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows that generate its candidates, at least: `auto` may turn out to need more."""
        return self._rows_of(self._candidates_of(self.method))

    @property
    def work(self) -> Work:
        """What it asks for."""
        is_judged = self._candidates_of(self.method) > 1
        kind = f"paraphrase {self.method}{', judged' if is_judged else ''}"
        return Work(kind, sum(map(len, self.sentences)), self.rows, self.rows)

    @property
    def bounds(self) -> Bounds:
        """Return what a candidate must reach."""
        return Bounds(self.adequacy_min, self.fluency_max, self.novelty_min)

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits; `plan` checks what depends on the version."""
        check_sentences(self.sentences, limits)
        check_within("count", self.count, 1, limits.count_max)
        check_within("candidates", self.candidates, 0, CANDIDATES_MAX)
        self._check_rows(self._candidates_of(self.method), limits)
        check_within("radius", self.radius, 0.0, RADIUS_MAX)
        check_within("closeness", self.closeness, 0.0, 1.0)
        check_within("adequacy_min", self.adequacy_min, 0.0, AXIS_MAX_NATS)
        if self.fluency_max != np.inf and not 0 < self.fluency_max <= AXIS_MAX_NATS:
            limit = f"must be above 0 and at most {AXIS_MAX_NATS}, got {self.fluency_max}"
            raise InputError("fluency_max", f"{limit}; leave it unset for any")
        check_within("novelty_min", self.novelty_min, 0.0, 1.0)
        self.constraints.check(len(self.sentences), limits.characters_max)
        check_patterns(self.constraints.patterns)
        self.options.check(limits.tokens_max)
        check_search(self.method, self.search_steps, self.candidates, self.options)
        check_address(self.seed, self.first_index)

    def plan(
        self, loaded: LoadedVersion, limits: Limits, owner: object
    ) -> Planning[ParaphraseResult]:
        """Decode the candidates of each sentence, judge them, and choose.

        Where too few can be chosen, more are drawn, ROUNDS times in all, each time from wider.
        """
        method = self._method_of(loaded)
        candidates = self._candidates_of(method)
        self._check_rows(candidates, limits)
        self._check_judged(candidates)
        ids = yield from loaded.tokens(name_sentences(self.sentences), limits.tokens_max)
        locks = self._locks(loaded, limits)
        posteriors = yield from loaded.encoding(ids)
        begin = REPHRASE if method == "rephrase" else REBUILD
        address = Address(self.seed, self.first_index)
        draws = Draws(loaded, limits, owner, posteriors, locks, begin, address, self.options)
        if method == "search":
            results = yield from self._searched(draws, ids)
        elif candidates > 1:
            results = yield from self._chosen(draws, ids, self.count * candidates)
        else:
            numbers = list(range(len(ids)))
            drawn = yield from draws.draw(numbers, self.count, 0, self.radius, with_mean=False)
            results = [
                self._nearest(*one, loaded.latent)
                for one in zip(drawn, self.sentences, strict=True)
            ]
        return Outcome(ParaphraseResult(results, method), sum(map(len, ids)))

    def _chosen(self, draws: Draws, ids: list[list[int]], each: int) -> Steps[list[Variations]]:
        """Return the variations that are chosen for each sentence, among `each` draws or more."""
        judge = Judge(draws.loaded, draws.owner, draws.begin, draws.limits.tokens_max)
        nats = yield from draws.loaded.language_model_nats(ids)
        sources = Sources(self.sentences, ids, draws.posteriors.mean, nats)
        results = [variations_of([], draws.loaded.latent)] * len(ids)
        pools: list[list[tuple[Drawn, Axes]]] = [[] for _ in ids]
        known: dict[Pair, Axes] = {}
        numbers = list(range(len(ids)))
        for number in range(ROUNDS):
            radius = self.radius * WIDER**number
            drawn = yield from draws.draw(
                numbers, each, number * each, radius, with_mean=not number
            )
            pairs = [
                (one, own.tokens) for one, part in zip(numbers, drawn, strict=True) for own in part
            ]
            known |= yield from judge.axes(sources, [pair for pair in pairs if pair not in known])
            for one, part in zip(numbers, drawn, strict=True):
                pools[one] += [(own, known[one, own.tokens]) for own in part]
                found = self._best(normalise(self.sentences[one]), pools[one], draws)
                fluency = float(nats[one]) / (len(ids[one]) + 1)
                results[one] = found._replace(source_fluency=fluency)
                yield None
            numbers = [one for one in numbers if results[one].missing]
            if not numbers:
                break
        return results

    def _searched(self, draws: Draws, ids: list[list[int]]) -> Steps[list[Variations]]:
        """Return the variations that are chosen among what the chains of a search found."""
        nats = yield from draws.loaded.language_model_nats(ids)
        search = Search(
            draws,
            Sources(self.sentences, ids, draws.posteriors.mean, nats),
            self.radius,
            self.count * self._candidates_of("search"),
            self.search_steps or SEARCH_STEPS,
            self.closeness,
        )
        found = yield from search.choose(self.count, self.bounds)
        return [
            variations_of(
                [
                    with_locks(Variation(*written, axes=axes), locks)
                    for written, axes in one.variations
                ],
                draws.loaded.latent,
                one.missing,
                one.source_fluency,
            )
            for one, locks in zip(found, draws.locks, strict=True)
        ]

    def _method_of(self, loaded: LoadedVersion) -> Literal["rephrase", "draw", "search"]:
        """Return how variations are made; InputError where the version cannot."""
        if self.method == "rephrase" and not loaded.rephrases:
            raise InputError(
                "method",
                "must be draw, for this version learned from no groups of sentences that say the "
                "same; train with training.sibling_share, and data.group_column or "
                "data.label_is_group, for rephrase",
            )
        if self.method == "auto":
            return "rephrase" if loaded.rephrases else "draw"
        return self.method

    def _candidates_of(self, method: Method) -> int:
        """Return the candidates for each variation."""
        return candidates_of(method, self.candidates)

    def _rows_of(self, candidates: int) -> int:
        """Return the rows that generate so many candidates for each variation."""
        return len(self.sentences) * self.count * candidates * self.options.slots

    def _check_rows(self, candidates: int, limits: Limits) -> None:
        """Raise InputError where so many candidates for each variation exceed the rows."""
        beam = self.options.beam > 1
        check_rows("count", self._rows_of(candidates), limits, beam=beam, candidates=candidates)

    def _check_judged(self, candidates: int) -> None:
        """Raise InputError for bounds that no candidate is held to."""
        if candidates > 1:
            return
        for name, unbound in Bounds()._asdict().items():
            if getattr(self, name) != unbound:
                problem = "needs candidates that are judged"
                raise InputError(
                    name, f"{problem}; ask for 2 candidates or more, or leave it unset"
                )

    def _locks(self, loaded: LoadedVersion, limits: Limits) -> list[SentenceLocks | None]:
        """Return what every variation of each sentence must hold."""
        assert loaded.lexicon is not None, "a network without a version has no words"
        locks = locks_of(
            self.sentences,
            self.constraints,
            loaded.tokenizer,
            loaded.lexicon,
            self.options.tokens_max or limits.tokens_max,
        )
        if any(locks) and self.options.beam > 1:
            number = next(number for number, one in enumerate(locks) if one)
            raise InputError(
                "options.beam",
                f"must be 0 with constraints, which sentences[{number}] has; a beam does not hold "
                "them; set constraints.slots to false to leave names in braces free",
            )
        return locks

    def _nearest(self, drawn: list[Drawn], sentence: str, latent: int) -> Variations:
        """Return the draws of a sentence that hold its constraints, the nearest first."""
        kept: list[Variation] = []
        missing: list[Reason] = []
        texts = {normalise(sentence)}
        for one in sorted(drawn, key=lambda one: one.variation.distance):
            text = one.variation.sentence.text
            reason: Reason | None = one.broken
            if self.distinct and not reason and text in texts:
                reason = "copy" if text == normalise(sentence) else "repeat"
            texts.add(text)
            if reason:
                missing.append(reason)
            else:
                kept.append(one.variation)
        return variations_of(kept, latent, missing)

    def _best(self, sentence: str, pool: list[tuple[Drawn, Axes]], draws: Draws) -> Variations:
        """Return the variations that are chosen among the candidates of a sentence."""
        candidates = [
            Candidate(
                number,
                one.variation.sentence.text,
                axes,
                "length" if one.cut else one.broken,
            )
            for number, (one, axes) in enumerate(pool)
        ]
        choice = choose(sentence, candidates, self.count, self.closeness, self.bounds)
        best = [pool[one.number][0].variation._replace(axes=one.axes) for one in choice.chosen]
        return variations_of(best, draws.loaded.latent, choice.missing)
