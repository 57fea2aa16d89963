"""Variations by search: simulated annealing over the words of a sentence.

Chains start from what the version rebuilds of a sentence. A step proposes an edit of each: words
go, move, or are written by the decoder, from the sentence's own latents and under the words before.
A proposal that is worth more is taken, another one with probability exp(gain / temperature), and
the temperature falls (Kirkpatrick et al. 1983; for paraphrases Liu et al. 2020, UPSA). What a state
is worth is judged by the axes of any choice, and by its agreement with the chains' starts.
"""

from typing import NamedTuple

import numpy as np

from textvae.decode.counter import Purpose, uniforms
from textvae.decode.rows import FinishedRow, Row
from textvae.engine.agreement import Agreement
from textvae.engine.answers import Axes, GeneratedSentence
from textvae.engine.axes import Judge, Pair, Sources
from textvae.engine.candidates import Bounds, Broken, Candidate, Reason, choose, letters_of
from textvae.engine.edits import NUMBERS, edit_of, edited
from textvae.engine.plan import Steps, decoder_rows, draw_latents
from textvae.engine.states import State, accepts, temperature_of, worth
from textvae.engine.variations import Draws
from textvae.text.sentence import normalise
from textvae.text.tokenizer import REBUILD

PROPOSAL_TEMPERATURE = 1.0
"""Temperature of the words that the decoder proposes."""
TOKENS_A_WORD = 2
"""Tokens that a proposed word may take, on average."""


class Written(NamedTuple):
    """A state as a variation of its sentence."""

    sentence: GeneratedSentence
    latent: np.ndarray
    """(latent,) float32, its own posterior mean, under which it has its log-probability."""
    distance: float
    """Of that latent from the sentence's posterior mean, in posterior deviations."""


class Found(NamedTuple):
    """What a search chose for one sentence."""

    variations: list[tuple[Written, Axes]]
    """The best first."""
    missing: list[Reason]
    source_fluency: float
    """Nats a token of the sentence itself under the language model."""


class Search(NamedTuple):
    """A search for variations of sentences: `chains` for each, of so many steps."""

    draws: Draws
    """How the starts are drawn; proposals are drawn at a temperature of their own."""
    sources: Sources
    radius: float
    """Of the starts, in posterior deviations."""
    chains: int
    steps: int
    closeness: float

    @property
    def tokens_max(self) -> int:
        """Return the most tokens of a variation."""
        return self.draws.options.tokens_max or self.draws.limits.tokens_max

    def choose(self, count: int, bounds: Bounds) -> Steps[list[Found]]:
        """Return up to `count` of the states that were found for each sentence."""
        states = yield from self.run()
        choices = []
        for source, (sentence, own) in enumerate(zip(self.sources.sentences, states, strict=True)):
            candidates = [
                Candidate(number, one.text, one.axes, self._broken(source, one), one.value)
                for number, one in enumerate(own)
            ]
            choices.append(choose(normalise(sentence), candidates, count, self.closeness, bounds))
        chosen = [
            (source, states[source][one.number])
            for source, choice in enumerate(choices)
            for one in choice.chosen
        ]
        written = iter((yield from self.written(chosen)))
        nats = self.sources.nats.tolist()
        return [
            Found(
                [(next(written), one.axes) for one in choice.chosen],
                choice.missing,
                own / (len(ids) + 1),
            )
            for choice, own, ids in zip(choices, nats, self.sources.ids, strict=True)
        ]

    def run(self) -> Steps[list[list[State]]]:
        """Return for each sentence where its chains ended, and the best that each was at."""
        latents = self._starts()
        rows = decoder_rows(
            self.draws.owner,
            latents,
            self.draws.address,
            self.draws.options,
            self.draws.limits,
            self.chains,
        )
        finished = yield [
            row._replace(begin=REBUILD, constraint=self.draws.constraint_of(self._number_of(chain)))
            for chain, row in enumerate(rows)
        ]
        texts = self._texts(finished)
        known: dict[Pair, State] = {}
        agreements = [
            Agreement(texts[first : first + self.chains])
            for first in range(0, len(texts), self.chains)
        ]
        # A chain whose start is empty or too long begins at the sentence.
        sentences = [
            normalise(self.sources.sentences[self._number_of(c)]) for c in range(len(texts))
        ]
        at_source = yield from self._judged(sentences, agreements, known)
        started = yield from self._judged(texts, agreements, known)
        states: list[State] = []
        for own, source in zip(started, at_source, strict=True):
            state = own or source
            assert state is not None, "a sentence is within the limits"
            states.append(state)
        best = list(states)
        for step in range(self.steps):
            temperature = temperature_of(step, self.steps)
            numbers = self._numbers(step)
            proposed = yield from self._proposed(states, numbers, latents, step)
            judged = yield from self._judged(proposed, agreements, known)
            for chain, state in enumerate(judged):
                if state and accepts(states[chain], state, temperature, numbers[chain, NUMBERS]):
                    states[chain] = state
                    best[chain] = max(best[chain], state, key=lambda one: one.value)
        both = list(zip(states, best, strict=True))
        return [
            [state for pair in both[first : first + self.chains] for state in pair]
            for first in range(0, len(both), self.chains)
        ]

    def written(self, states: list[tuple[int, State]]) -> Steps[list[Written]]:
        """Return the chosen states, each with the number of its sentence, as if they had been
        decoded from their own latents."""
        tokens = [state.tokens for _, state in states]
        mean, _ = yield from self.draws.loaded.encoding(list(map(list, tokens)))
        most = self.draws.limits.tokens_max
        scored = yield [
            Row(self.draws.owner, number, latent, most, targets=ids, begin=REBUILD)
            for number, (latent, ids) in enumerate(zip(mean, tokens, strict=True))
        ]
        sources = [source for source, _ in states]
        shifts = mean - self.draws.posteriors.mean[sources]
        shifts = shifts / np.exp(0.5 * self.draws.posteriors.logvar[sources])
        distances = np.sqrt(np.mean(shifts.astype(np.float64) ** 2, 1)).tolist()
        return [
            Written(GeneratedSentence(state.text, row.log_prob, len(ids), True), latent, distance)
            for (_, state), ids, row, latent, distance in zip(
                states, tokens, scored, mean, distances, strict=True
            )
        ]

    def _number_of(self, chain: int) -> int:
        """Return the number of a chain's sentence."""
        return chain // self.chains

    def _starts(self) -> np.ndarray:
        """Return the latents of the starts, (chains, latent): the first of each sentence is its
        posterior mean."""
        mean, logvar = self.draws.posteriors
        library = self.draws.loaded.library
        latents = draw_latents(mean, logvar, self.chains, self.draws.address, library, self.radius)
        latents[:: self.chains] = mean
        return latents

    def _texts(self, finished: list[FinishedRow]) -> list[str]:
        """Return the normal text of rows; the empty text of one that was cut."""
        texts = self.draws.loaded.tokenizer.decode([row.tokens for row in finished])
        return [
            normalise(text) if row.ended else "" for row, text in zip(finished, texts, strict=True)
        ]

    def _numbers(self, step: int) -> np.ndarray:
        """Return the random numbers of every chain in a step, (chains, NUMBERS + 1): those of its
        edit, and the one that accepts it."""
        chains = np.arange(len(self.sources.ids) * self.chains, dtype=np.uint64)
        items = np.uint64(self.draws.address.first_index) + chains // np.uint64(self.chains)
        seeds, ranks = (
            np.full_like(chains, self.draws.address.seed),
            chains % np.uint64(self.chains),
        )
        first, library = step * (NUMBERS + 1), self.draws.loaded.library
        numbers = [
            uniforms(seeds, items, ranks, np.full_like(chains, place), Purpose.EDIT, library)
            for place in range(first, first + NUMBERS + 1)
        ]
        return np.stack(numbers, 1)

    def _proposed(
        self, states: list[State], numbers: np.ndarray, latents: np.ndarray, step: int
    ) -> Steps[list[str]]:
        """Return the proposal of every chain: the decoder writes what its edit asks for."""
        edits = [
            edit_of(state.text.split(), own[:NUMBERS].tolist())
            for state, own in zip(states, numbers, strict=True)
        ]
        writing = [chain for chain, edit in enumerate(edits) if edit.grown != 0]
        prefixes = self.draws.loaded.tokenizer.encode(
            [" ".join(edits[one].before) for one in writing]
        )
        rows = []
        for number, (chain, prefix) in enumerate(zip(writing, prefixes, strict=True)):
            most = self.tokens_max
            grown = edits[chain].grown
            if grown is not None:
                most = min(most, len(prefix) + TOKENS_A_WORD * grown + 1)
            # Every other step asks the posterior mean, the others the latent of the chain's start.
            latent = latents[chain if step % 2 else self._number_of(chain) * self.chains]
            rows.append(self._row(number, chain, latent, tuple(prefix), most, step))
        finished = yield rows
        texts = self.draws.loaded.tokenizer.decode([row.tokens for row in finished])
        written = dict(zip(writing, texts, strict=True))
        return [normalise(edited(edit, written.get(chain, ""))) for chain, edit in enumerate(edits)]

    def _row(
        self,
        number: int,
        chain: int,
        latent: np.ndarray,
        prefix: tuple[int, ...],
        most: int,
        step: int,
    ) -> Row:
        """Return the row that writes what follows a prefix."""
        address = self.draws.address
        return Row(
            self.draws.owner,
            number,
            latent,
            most,
            self.draws.options._replace(temperature=PROPOSAL_TEMPERATURE),
            address.seed,
            address.first_index + self._number_of(chain),
            # The starts have the draws before.
            (step + 1) * self.chains + chain % self.chains,
            begin=REBUILD,
            prefix=prefix,
        )

    def _judged(
        self, texts: list[str], agreements: list[Agreement], known: dict[Pair, State]
    ) -> Steps[list[State | None]]:
        """Return the states of the chains' texts, each judged once; None for one that is empty or
        too long."""
        encoded = map(tuple, self.draws.loaded.tokenizer.encode(texts))
        pairs: list[Pair] = [(self._number_of(chain), ids) for chain, ids in enumerate(encoded)]
        of_text = {
            pair: text
            for pair, text in zip(pairs, texts, strict=True)
            if pair not in known and 0 < len(pair[1]) <= self.draws.limits.tokens_max
        }
        judge = Judge(self.draws.loaded, self.draws.owner, REBUILD, self.draws.limits.tokens_max)
        found = yield from judge.axes(self.sources, of_text)
        for (source, ids), text in of_text.items():
            axes, agreement = found[source, ids], agreements[source]
            value = self._value(source, text, len(ids), axes, agreement)
            known[source, ids] = State(text, ids, axes, value)
        return [known.get(pair) for pair in pairs]

    def _value(
        self, source: int, text: str, tokens: int, axes: Axes, agreement: Agreement
    ) -> float:
        """Return what a state is worth."""
        is_copy = letters_of(text) == letters_of(self.sources.sentences[source])
        locks = self.draws.locks[source]
        if is_copy or tokens > self.tokens_max or (locks and locks.broken(text)):
            return -np.inf
        length = (tokens + 1) / (len(self.sources.ids[source]) + 1)
        return worth(axes, agreement.share(text), length, self.closeness)

    def _broken(self, source: int, state: State) -> Broken | None:
        """Return why a state is no variation of its sentence; None where it is one."""
        locks = self.draws.locks[source]
        if len(state.tokens) > self.tokens_max:
            return "length"
        return locks.broken(state.text) if locks else None
