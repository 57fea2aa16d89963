"""Paraphrase: sentences to variations of each, and the best of the candidates.

A rephrasing is what the decoder writes of a sentence's posterior when its first token says so; a
draw is what it rebuilds of a point near the posterior's mean; a search edits draws word by word
(`engine/annealing.py`).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from textvae.decode.rows import FinishedRow, Row
from textvae.engine.annealing import Search
from textvae.engine.answers import Axes, GeneratedSentence
from textvae.engine.axes import Judge, Sources
from textvae.engine.candidates import Bounds, Candidate, Reason, choose
from textvae.engine.limits import Limits, check_address, check_rows, check_sentences
from textvae.engine.load import LoadedVersion, Posteriors
from textvae.engine.plan import (
    Address,
    Outcome,
    Planning,
    decoder_rows,
    draw_latents,
    generated_sentences,
    name_sentences,
)
from textvae.errors import InputError
from textvae.options import (
    AXIS_MAX_NATS,
    CANDIDATES_MAX,
    CLOSENESS_DEFAULT,
    GREEDY,
    METHOD_DEFAULT,
    RADIUS_DEFAULT,
    RADIUS_MAX,
    SEARCH_STEPS,
    Method,
    Options,
    candidates_of,
    check_search,
)
from textvae.ranges import check_within
from textvae.text.sentence import normalise
from textvae.text.tokenizer import REBUILD, REPHRASE


class Variation(NamedTuple):
    """A variation of a sentence."""

    sentence: GeneratedSentence
    latent: np.ndarray
    """(latent,) float32"""
    distance: float
    """sqrt(mean_d(((z_d - mu_d) / sigma_d)^2)), in posterior deviations."""
    axes: Axes | None = None
    """None where it was not judged."""


class Variations(NamedTuple):
    """The variations of one sentence: the best first or, not judged, the nearest latent first."""

    variations: list[Variation]
    latents: np.ndarray
    """(variations, latent) float32"""
    missing: list[Reason]
    """Why there are fewer than were asked for, one for each; empty where they were not judged."""
    source_fluency: float
    """Nats a token of the sentence itself under the language model; 0 where nothing is judged."""


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
    search_steps: int = 0
    """Of every chain of a search; 0: SEARCH_STEPS."""
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows that generate its candidates, at least: `auto` may turn out to need more."""
        return self._rows_of(self._candidates_of(self.method))

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
        self.options.check(limits.tokens_max)
        check_search(self.method, self.search_steps, self.candidates, self.options)
        check_address(self.seed, self.first_index)

    def plan(
        self, loaded: LoadedVersion, limits: Limits, owner: object
    ) -> Planning[ParaphraseResult]:
        """Decode the candidates of each sentence, judge them, and choose."""
        method = self._method_of(loaded)
        candidates = self._candidates_of(method)
        self._check_rows(candidates, limits)
        self._check_judged(candidates)
        each = self.count * candidates
        address = Address(self.seed, self.first_index)
        ids = loaded.tokens(name_sentences(self.sentences), limits.tokens_max)
        mean, logvar = yield from loaded.encoding(ids)
        if method == "search":
            results = yield from self._searched(
                loaded, limits, owner, ids, Posteriors(mean, logvar)
            )
            return Outcome(ParaphraseResult(results, method), sum(map(len, ids)))
        latents = draw_latents(mean, logvar, each, address, loaded.library, self.radius)
        judged = each > self.count
        if judged:
            latents[::each] = mean  # the first candidate of each is of the mean itself
        rows = decoder_rows(owner, latents, address, self.options, limits, each)
        begin = REPHRASE if method == "rephrase" else REBUILD
        finished = yield [row._replace(begin=begin) for row in rows]
        drawn = self._drawn(loaded, finished, latents, mean, logvar)
        if not judged:
            results = [
                self._nearest(drawn[first : first + each], sentence)
                for first, sentence in zip(range(0, len(drawn), each), self.sentences, strict=True)
            ]
            return Outcome(ParaphraseResult(results, method), sum(map(len, ids)))
        tokens = [tuple(row.tokens) for row in finished]
        judge = Judge(loaded, owner, begin, limits.tokens_max)
        axes, source_fluency = yield from judge.axes(self.sentences, ids, mean, tokens)
        results = []
        for number, sentence in enumerate(map(normalise, self.sentences)):
            part = slice(number * each, (number + 1) * each)
            fluency = float(source_fluency[number])
            results.append(self._best(sentence, drawn[part], axes[part], fluency))
        return Outcome(ParaphraseResult(results, method), sum(map(len, ids)))

    def _searched(
        self,
        loaded: LoadedVersion,
        limits: Limits,
        owner: object,
        ids: list[list[int]],
        posteriors: Posteriors,
    ) -> Generator[list[Row] | None, list[FinishedRow], list[Variations]]:
        """Return the variations that are chosen among what the chains of a search found."""
        nats = yield from loaded.language_model_nats(ids)
        search = Search(
            loaded,
            limits,
            owner,
            Sources(self.sentences, ids, posteriors.mean, nats),
            posteriors,
            Address(self.seed, self.first_index),
            self.options,
            self.radius,
            self.count * self._candidates_of("search"),
            self.search_steps or SEARCH_STEPS,
            self.closeness,
        )
        found = yield from search.choose(self.count, self.bounds)
        return [
            _variations(
                [Variation(*written, axes=axes) for written, axes in one.variations],
                loaded.latent,
                one.missing,
                one.source_fluency,
            )
            for one in found
        ]

    def _method_of(self, loaded: LoadedVersion) -> Literal["rephrase", "draw", "search"]:
        """Return how variations are made; InputError where the version cannot."""
        if self.method == "rephrase" and not loaded.rephrases:
            raise InputError(
                "method",
                "must be draw, for this version learned from no groups of sentences that say the "
                "same; train with training.sibling_share and data.group_column for rephrase",
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

    def _drawn(
        self,
        loaded: LoadedVersion,
        finished: list[FinishedRow],
        latents: np.ndarray,
        mean: np.ndarray,
        logvar: np.ndarray,
    ) -> list[Variation]:
        """Return all that was decoded, in the order of the rows."""
        each = len(latents) // len(mean)
        shifts = (latents - np.repeat(mean, each, 0)) / np.exp(0.5 * np.repeat(logvar, each, 0))
        distances = np.sqrt(np.mean(shifts.astype(np.float64) ** 2, 1)).tolist()
        generated = generated_sentences(loaded.tokenizer, finished, self.options)
        return list(map(Variation, generated, latents, distances))

    def _nearest(self, drawn: list[Variation], sentence: str) -> Variations:
        """Return the draws of a sentence, the nearest first."""
        ranked = sorted(drawn, key=lambda one: one.distance)
        if self.distinct:
            ranked = _distinct(ranked, normalise(sentence))
        return _variations(ranked, len(drawn[0].latent))

    def _best(
        self, sentence: str, drawn: list[Variation], axes: list[Axes], source_fluency: float
    ) -> Variations:
        """Return the variations that are chosen among the candidates of a sentence."""
        candidates = [
            Candidate(number, one.sentence.text, one.sentence.ended, found)
            for number, (one, found) in enumerate(zip(drawn, axes, strict=True))
        ]
        choice = choose(sentence, candidates, self.count, self.closeness, self.bounds)
        best = [drawn[one.number]._replace(axes=one.axes) for one in choice.chosen]
        return _variations(best, len(drawn[0].latent), choice.missing, source_fluency)


def _variations(
    chosen: list[Variation],
    latent: int,
    missing: list[Reason] | None = None,
    source_fluency: float = 0.0,
) -> Variations:
    """Return the variations with their latents as one matrix."""
    latents = np.array([one.latent for one in chosen], np.float32).reshape(-1, latent)
    return Variations(chosen, latents, missing or [], source_fluency)


def _distinct(drawn: list[Variation], sentence: str) -> list[Variation]:
    """Return the draws whose text is neither the sentence nor the text of one before."""
    texts = {sentence}
    distinct = []
    for one in drawn:
        if one.sentence.text not in texts:
            texts.add(one.sentence.text)
            distinct.append(one)
    return distinct
